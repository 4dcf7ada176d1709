"""Does an audit find what is wrong, name the right cause, and keep silent otherwise?

Healthy models of many families (`zoo`), faults planted in them (`faults`) and programs of real
posts with their fixed twins (`posts`) are trained, audited and scored.
"""
