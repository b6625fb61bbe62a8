"""What is kept is bounded, and the one that was used longest ago goes first."""

from sklearn_patt_lite._process import LRUCache


def test_the_least_recently_used_goes():
    made, kept = [], LRUCache(2)

    def get(key):
        return kept.get(key, lambda: made.append(key) or key.upper())

    assert [get(key) for key in "abacb"] == list("ABACB")
    assert made == list("abcb")  # a was used after b, which had to go for c
    assert len(kept) == 2


def test_what_fails_is_not_kept():
    kept = LRUCache(2)
    for expected in (ZeroDivisionError, None):
        try:
            kept.get("a", lambda expected=expected: 1 / (expected is None))
        except ZeroDivisionError:
            assert expected
    assert len(kept) == 1
