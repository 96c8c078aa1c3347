"""Words that are broken where a table is squeezed, and words that are not."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from console.rendering import has_usual_words


@pytest.mark.parametrize(
    ("content", "usual"),
    [
        ("", True),
        (12, True),
        ("zaakinformatieobject · partial_update", True),
        ("https://zaken.example.nl/api/v1/zaken", False),
        ("wordt gezonden naar " + "x" * 21, False),
        (Markup('<time datetime="2026-11-30T01:46:00.000Z">01:46</time>'), True),
        (Markup("<b>een <i>" + "x" * 21 + "</i></b>"), False),
    ],
)
def test_only_words_of_usual_length_stay_whole(content: object, usual: bool) -> None:
    assert has_usual_words(content) is usual
