"""`python -m tests.chart` writes the golden renderings anew, one for each set of values."""

from tests.chart.helm import SETS, as_golden, golden_file, rendered, values_of

for name in SETS:
    golden_file(name).write_text(as_golden(rendered(values_of(name))))
    print(golden_file(name))
