"""From requests to answers to findings: plan, sweep, journal, judge, supervisor and worker."""
