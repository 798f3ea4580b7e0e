"""Chat templates that fail in Python's own ways, or reach for more than messages."""

from __future__ import annotations

import types

import pytest

from lushan.text import rendering

pytestmark = pytest.mark.fault(78)

FAIL = [
    *("{{ 1 / 0 }}", "{{ 10.0 ** 400 }}", "{{ '%c' % 99999999999 }}", "{{ {[1]: 2} }}"),
    *("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ messages[99].a.b }}"),
    *("{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__ }}"),
    *("{% include '/etc/passwd' %}", "{% import 'os' as o %}", "{{ strftime_now(5) }}"),
    "{{ raise_exception('no') }}",
]


@pytest.mark.parametrize("source", FAIL)
def test_a_template_fails(source):
    writer = rendering.Writer(source, types.SimpleNamespace(special_tokens_map={}))
    with pytest.raises(rendering.Unfit, match=r"it says: \S"):
        writer.write([{"role": "user", "content": "hello"}])
