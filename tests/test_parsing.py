"""What others wrote is parsed within bounds: nothing but a `ValueError` comes out, whatever the text."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkdigit.parsing import MAX_DEPTH, check_plain, parse_json, parse_toml, read_bytes, read_text

BAD_TOML = {
    "deep lists": "a=" + "[" * 60_000,
    "deep tables": "a=" + "{a=" * 20_000,
    "dotted keys": "a." * 30_000 + "a=1",
    "dotted keys on many lines": "".join("a." * 500 + f"b{i}=1\n" for i in range(60)),
    "a dotted key, with ends of lines that TOML does not know": ('"\u2028".' + "a." * 500) * 3 + "b=1",
    "digits": "a=" + "9" * 5_000,
    "hexadecimal digits": "a=0x" + "f" * 5_000,
    "too long": "#" * 2**17,
    "no TOML": "a = = 1",
    "cut short": "a = '''",
}
BAD_JSON = {
    "deep lists": "[" * 100_000,
    "deep lists that end": "[" * 40 + "]" * 40,
    "deep objects": '{"a":' * 100_000,
    "digits": "9" * 5_000,
    "a number that nothing holds": str(2**63),
    "half a character": '"\\ud800"',
    "half a character in a key": '{"\\ud800": 1}',
    "cut short": '{"a": ',
    "not UTF-8": b'"\xff"',
}


@pytest.mark.parametrize("text", BAD_TOML.values(), ids=BAD_TOML)
def test_bad_toml_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_toml(text)


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)


@given(st.text(max_size=200))
def test_any_text_is_a_table_or_a_value_error(text):
    for parse in (parse_toml, parse_json):
        with suppress(ValueError):
            parse(text)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(), st.lists, max_leaves=20))
def test_depth_is_counted(value):
    check_plain(value)
    for _ in range(MAX_DEPTH):
        value = [value]
    with pytest.raises(ValueError, match="levels deep"):
        check_plain(value)


@pytest.mark.posix
def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises((ValueError, OSError)):
            read_bytes(path, max_bytes=10)
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfseven")
    assert read_text(tmp_path / "text") == "seven"
    assert read_text(tmp_path / "text", max_bytes=8) == "seven"
    with pytest.raises(ValueError, match="larger than 7 bytes"):
        read_text(tmp_path / "text", max_bytes=7)
