"""The shipped alert rules on made-up nodes: each fires on its trouble, alone, and not before its time."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import require

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "alerts.yml"
NAMES = re.findall(r"- alert: (\w+)", ALERTS.read_text())
MINUTES = 26 * 60
RISING = f"0+600x{MINUTES}"  # ten a second
STILL = f"7+0x{MINUTES}"
ONE, NONE = f"1+0x{MINUTES}", f"0+0x{MINUTES}"

WELL = {
    'up{job="artifactapi",instance="n1"}': ONE,
    'up{job="artifactapi",instance="n2"}': ONE,
    'artifactapi_requests_total{instance="n1",repository="r",status="200",cache="HIT"}': RISING,
    'artifactapi_requests_total{instance="n2",repository="r",status="200",cache="MISS"}': RISING,
    'artifactapi_requests_total{instance="n1",repository="r",status="502",cache=""}': f"0+6x{MINUTES}",
    'artifactapi_first_byte_seconds_bucket{instance="n1",repository="r",source="cache",le="0.01"}': RISING,
    'artifactapi_first_byte_seconds_bucket{instance="n1",repository="r",source="cache",le="2.5"}': RISING,
    'artifactapi_first_byte_seconds_bucket{instance="n1",repository="r",source="cache",le="+Inf"}': RISING,
    'artifactapi_first_byte_seconds_count{instance="n1",repository="r",source="cache"}': RISING,
    'artifactapi_upstream_seconds_bucket{instance="n1",repository="r",le="0.1"}': RISING,
    'artifactapi_upstream_seconds_bucket{instance="n1",repository="r",le="60.0"}': RISING,
    'artifactapi_upstream_seconds_bucket{instance="n1",repository="r",le="+Inf"}': RISING,
    'artifactapi_upstream_seconds_count{instance="n1",repository="r"}': RISING,
    'artifactapi_upstream_breaker_open{instance="n1",repository="r",upstream="u"}': NONE,
    'artifactapi_fills_total{instance="n1",repository="r",result="stored"}': RISING,
    'artifactapi_fills_total{instance="n1",repository="r",result="upstream_timeout"}': f"0+6x{MINUTES}",
    'artifactapi_fills_running{instance="n1"}': f"3+0x{MINUTES}",
    'artifactapi_upstream_bytes_total{instance="n1",repository="r"}': RISING,
    'artifactapi_store_failures_total{instance="n1",store="redis"}': STILL,
    'artifactapi_store_busy_total{instance="n1",store="postgres"}': STILL,
    'artifactapi_storage_filesystem_bytes{instance="n1",what="free"}': f"20+0x{MINUTES}",
    'artifactapi_storage_filesystem_bytes{instance="n1",what="total"}': f"100+0x{MINUTES}",
    'artifactapi_quarantined_blobs_total{instance="n1"}': NONE,
    'artifactapi_pulls_unrecorded_total{instance="n1"}': NONE,
    'artifactapi_config_info{instance="n1",sha256="one"}': ONE,
    'artifactapi_config_info{instance="n2",sha256="one"}': ONE,
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What differs from WELL, by the minute at which the alert fires and the last one at which it does not yet."""

    fires: int
    series: Mapping[str, str] = field(default_factory=dict)
    silent: int = 0


def _series(name: str) -> str:
    """The one series of WELL that begins so."""
    (found,) = [each for each in WELL if each.startswith(name)]
    return found


def _slow(name: str, fast: str) -> dict[str, str]:
    return {_series(f'{name}_bucket{{instance="n1",repository="r",{fast}'): STILL}


HITS = 'artifactapi_requests_total{instance="n1",repository="r",status="200",cache="HIT"}'
STALE = 'artifactapi_requests_total{instance="n1",repository="r",status="200",cache="STALE"}'
TROUBLES = {
    "ArtifactapiNodeDown": Trouble(3, {'up{job="artifactapi",instance="n2"}': NONE}, 1),
    "ArtifactapiErrors": Trouble(
        7, {_series('artifactapi_requests_total{instance="n1",repository="r",status="502'): RISING}, 4
    ),
    "ArtifactapiSlow": Trouble(12, _slow("artifactapi_first_byte_seconds", 'source="cache",le="0.01'), 9),
    "ArtifactapiUpstreamSlow": Trouble(18, _slow("artifactapi_upstream_seconds", 'le="0.1'), 14),
    "ArtifactapiHitRatioCollapsed": Trouble(1560, {HITS: "0+600x1500 900000+0x60"}, 1500),
    "ArtifactapiUpstreamBreakerOpen": Trouble(6, {_series("artifactapi_upstream_breaker_open"): ONE}, 4),
    "ArtifactapiUpstreamFailing": Trouble(
        18, {_series('artifactapi_fills_total{instance="n1",repository="r",result="upstream'): f"0+900x{MINUTES}"}, 14
    ),
    "ArtifactapiServingStale": Trouble(64, {STALE: f"0+1x{MINUTES}"}, 59),
    "ArtifactapiFillsStuck": Trouble(
        24,
        {
            'artifactapi_fills_total{instance="n1",repository="r",result="stored"}': STILL,
            'artifactapi_fills_total{instance="n1",repository="r",result="upstream_timeout"}': STILL,
            'artifactapi_upstream_bytes_total{instance="n1",repository="r"}': "0+600x3 1800+0x60",
        },
        9,
    ),
    "ArtifactapiStoreFailing": Trouble(6, {_series("artifactapi_store_failures_total"): f"0+1x{MINUTES}"}, 2),
    "ArtifactapiStoreBusy": Trouble(13, {_series("artifactapi_store_busy_total"): f"0+60x{MINUTES}"}, 9),
    "ArtifactapiDiskNearlyFull": Trouble(
        6, {_series('artifactapi_storage_filesystem_bytes{instance="n1",what="free'): f"4+0x{MINUTES}"}, 4
    ),
    "ArtifactapiDamagedBlob": Trouble(12, {_series("artifactapi_quarantined_blobs_total"): "0+0x9 1+0x200"}, 9),
    "ArtifactapiPullsUnrecorded": Trouble(12, {_series("artifactapi_pulls_unrecorded_total"): "0+0x9 1+0x200"}, 9),
    "ArtifactapiConfigDiffers": Trouble(16, {'artifactapi_config_info{instance="n2",sha256="two"}': ONE}, 14),
}


def test_every_rule_is_proved_here() -> None:
    assert sorted(TROUBLES) == sorted(NAMES)


def test_promtool_finds_nothing_to_say() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    _promtool("check", "config", "--syntax-only", DEPLOY / "prometheus.yml")


def test_each_alert_fires_on_its_trouble_and_on_no_other(tmp_path: Path) -> None:
    cases = [_case("well", Trouble(MINUTES), [])]
    cases += [_case(name, trouble, [name]) for name, trouble in TROUBLES.items()]
    document = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "tests.yml").write_text(json.dumps(document))  # JSON is YAML
    _promtool("test", "rules", tmp_path / "tests.yml")


def _case(name: str, trouble: Trouble, expected: list[str]) -> dict[str, Any]:
    series = {**WELL, **trouble.series}
    if name == "ArtifactapiConfigDiffers":
        del series['artifactapi_config_info{instance="n2",sha256="one"}']
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    named = [{"labels": f'{{alertname="{each}"}}', "value": 1} for each in expected]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{trouble.silent}m", "exp_samples": []},
            {"expr": firing, "eval_time": f"{trouble.fires}m", "exp_samples": named},
        ],
    }


def _promtool(*arguments: object) -> None:
    done = subprocess.run([require("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
