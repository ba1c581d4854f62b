"""Parameters read as the standard library reads them."""

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from recsys.serving.requests.query import parameters

pieces = st.text(st.sampled_from("ab=&%+;é ?#41"), max_size=12)


@given(pieces)
def test_whatever_is_asked_reads_as_ever(text: str) -> None:
    assert parameters(text.encode("latin-1")) == parse_qsl(text, keep_blank_values=True)


def test_names_come_as_often_as_they_are_there() -> None:
    assert parameters(b"a=1&b&a=2%20x&&=z") == [("a", "1"), ("b", ""), ("a", "2 x"), ("", "z")]
    assert parameters(b"") == []
