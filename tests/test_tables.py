"""Text in columns."""

from gpures.reporting.tables import line, row


def test_columns_stand_below_each_other():
    """Each cell has its column's format, those beyond the last one that of the last, and the headings their widths."""
    formats = "<8", ">10.1e", ">6"
    assert row(("name", 0.0012, 3, "x", ""), formats) == "name       1.2e-03     3     x      "
    headings = row(("", "figure", "n", "what"), ("<8", ">10", ">6"))
    assert headings.index("figure") + len("figure") == 18
    assert headings.index("what") + len("what") == 30


def test_long_values_go_on_below_themselves():
    """What does not fit is broken between words, and begins where values begin."""
    first, *rest = line("name", " ".join(["words"] * 40)).splitlines()
    assert first.startswith("  name          words ")
    assert rest
    assert all(each.startswith(" " * 16 + "words") and len(each) <= 110 for each in rest)
