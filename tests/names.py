"""Names that a checkpoint may give its layers, to get out of wherever they are written."""

HOSTILE_NAMES = (
    'x"); import os; os.system("rm -rf ~")  #',
    "'); import os  #",
    "a\n```\nimport os\n```python\n",
    "back`tick``s``` and ````",
    '"><script>window.hit=1</script>',
    "abc\u202edef\u2066",
    "nul\x00 esc\x1b[31m tab\t line\u2028sep\x85",
    "back\\slash\\",
    "lone\ud800surrogate",
    "{name} %s {{7*7}}",
    "smile \U0001f600 tag\U000e0041",
)
