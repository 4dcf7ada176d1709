"""What does a Recorder cost a training that it records?"""
