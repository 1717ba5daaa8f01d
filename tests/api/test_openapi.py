"""The document at /openapi.json: whole, and true: schemathesis finds no defect and no answer that it does not say."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as bounded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from tests.http.node import TOKEN, Node

EXAMPLES = int(os.environ.get("API_EXAMPLES", "2"))  # of each operation
ROLES = {"anonymous": {}, "administrator": {"Authorization": f"Bearer {TOKEN}"}}
# What is left out: a valid body may well be refused (a name is taken, an issuer is not believed), and the other two
# are of sequences of requests.
LEFT_OUT = ("positive_data_acceptance", "use_after_free", "ensure_resource_availability")
# Repositories in their forms, the registry's API, what other nodes ask; and the document itself.
OTHERWISE = re.compile(r"/repository/.*|/api/v1/(remote|local|virtual|fills)/?.*|/v2.*|/openapi\.json")


def test_every_json_route_is_in_it(node: Node) -> None:
    told = node.get("/openapi.json")
    assert (told.status_code, told.mimetype) == (200, "application/json")
    documented = {(path, method.upper()) for path, each in told.get_json()["paths"].items() for method in each}
    rules = [rule for rule in node.app.url_map.iter_rules() if not OTHERWISE.fullmatch(rule.rule)]
    served = {(_path(rule.rule), method) for rule in rules for method in rule.methods or ()}
    assert {each for each in served if each[1] not in ("HEAD", "OPTIONS")} == {
        each for each in documented if each[1] != "PARAMETERS"
    }


def _path(rule: str) -> str:
    """As the document writes it."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


@pytest.mark.parametrize(
    ("role", "mode"),
    [
        ("administrator", GenerationMode.POSITIVE),
        ("administrator", GenerationMode.NEGATIVE),
        ("anonymous", GenerationMode.POSITIVE),
    ],
)
def test_no_answer_that_the_document_does_not_say(node: Node, role: str, mode: GenerationMode) -> None:
    load_all_checks()
    left_out = CHECKS.get_by_names(LEFT_OUT)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", node.app)
    failures = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @seed(6)
        @bounded(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            case.call_and_validate(headers=ROLES[role], excluded_checks=left_out)

        try:
            holds()
        except Unsatisfiable:  # it takes nothing that could be wrong
            continue
        except (Exception, BaseExceptionGroup) as error:
            failures.append(
                f"{operation.label}: {''.join(str(each) for each in getattr(error, 'exceptions', [error]))}"
            )
    assert not failures, "\n\n".join(failures)
