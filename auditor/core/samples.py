"""What a report says where it leaves out the inputs of single examples."""

LEFT_OUT = (
    "Inputs of single examples are left out; `--include-samples`, or `include_samples: true` under "
    "`output` in the spec, shows them."
)
