"""What an audit found, written where models are kept: tracking servers and model cards."""
