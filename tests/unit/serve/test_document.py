"""The document at /openapi.json is true: schemathesis asks what it allows, and what it does not."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.helpers.served import serving

from lushan.serve.limits import Bounds


@pytest.fixture(scope="module")
def server(lm_run, chat_run, reviews_run):
    bounds = Bounds(new_tokens=8)  # a request may ask for more, and is refused
    with serving({"lm": lm_run, "talk": chat_run, "mood": reviews_run}, bounds) as running:
        yield running


@pytest.fixture(scope="module")
def document(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@pytest.mark.slow(10)
@schema.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_responses_are_those_of_the_document(case):
    # Rules between fields (a seed's texts need chance, a prompt needs room) are no JSON schema.
    case.call_and_validate(excluded_checks=[positive_data_acceptance])
