"""What deploy/ says is true of the service: routes, ports, options, times, sizes, metrics; and it is valid."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks.scale import replicas
from deploy import validate
from inkdigit import client, errors
from inkdigit.cli.app import app
from inkdigit.model.recognizer import Recognizer
from inkdigit.serve import defaults, server
from inkdigit.serve.counts import Counts
from inkdigit.serve.http import guard
from inkdigit.serve.routes import health, kserve, metrics
from inkdigit.serve.settings import Settings

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NGINX = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
REPLICAS = [service for name, service in COMPOSE.items() if name.startswith("replica-")]
DRAIN_S = server._options(Settings())["timeout_graceful_shutdown"]
TOKEN = "INKDIGIT_TOKEN"
ROUTES = {route.path for router in (health.router, kserve.router, metrics.router) for route in router.routes}
UNITS = {"": 1, "ms": 0.001, "s": 1, "k": 2**10, "m": 2**20, "g": 2**30, "Mi": 2**20, "Gi": 2**30}


def documents(name: str) -> dict[str, dict[str, Any]]:
    """The documents of a manifest by their kind."""
    return {document["kind"]: document for document in yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8"))}


KUBERNETES = documents("kubernetes/inkdigit.yaml")
QUEUE = documents("kubernetes/hpa-queue.yaml")["HorizontalPodAutoscaler"]
KSERVE = documents("kserve/inkdigit.yaml")
DEPLOYMENT_POD = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
PREDICTOR = KSERVE["InferenceService"]["spec"]["predictor"]
# Of each way: what the pod has, and its container.
PODS = {
    "kubernetes": (DEPLOYMENT_POD, DEPLOYMENT_POD["containers"][0]),
    "kserve": ({**KSERVE["ServingRuntime"]["spec"], **PREDICTOR}, KSERVE["ServingRuntime"]["spec"]["containers"][0]),
}
each_pod = pytest.mark.parametrize(("pod", "container"), PODS.values(), ids=PODS)
each_container = pytest.mark.parametrize("container", [container for _, container in PODS.values()], ids=PODS)


def serve(words: list[str]) -> dict[str, Any]:
    """The options of the command; an error if it is not `serve`, or does not accept them."""
    command, *options = words
    assert command == "serve"
    return typer.main.get_command(app).commands[command].make_context(command, options).params


def number(text: str) -> float:
    """Bytes or seconds: 8m, 500ms, 2Gi."""
    found = re.fullmatch(r"(\d+)([a-zA-Z]*)", text)
    assert found, text
    return int(found[1]) * UNITS[found[2]]


def directive(name: str) -> str:
    """What nginx.conf says once, or each time the same, of `name`."""
    (value,) = set(re.findall(rf"^ *{name} +(.+);", NGINX, re.MULTILINE))
    return value


def needed(check: Any) -> Any:
    """The result of a validation; the test is skipped where nothing validates."""
    try:
        return check()
    except validate.Missing as exc:
        pytest.skip(str(exc))


@pytest.mark.parametrize("name", validate.MANIFESTS)
def test_manifests_are_valid(name):
    for version in needed(lambda: {validate.versions()[0], validate.versions()[-1]}):
        for document in validate.documents(DEPLOY / name):
            assert needed(lambda document=document, version=version: validate.problems(document, version)) == []


@pytest.mark.parametrize("name", validate.MANIFESTS)
def test_a_wrong_field_or_type_is_found(name):
    for document in validate.documents(DEPLOY / name):
        for wrong in ({**document["spec"], "replica": 1}, 3):
            assert needed(lambda wrong=wrong, document=document: validate.problems({**document, "spec": wrong}))


def test_a_wrong_field_deep_inside_a_document_of_kserve_is_found():
    (document,) = [each for each in validate.documents(DEPLOY / "kserve/inkdigit.yaml") if "containers" in each["spec"]]
    document["spec"]["containers"][0]["readinessProbe"]["httpGet"]["paths"] = "/"
    assert needed(lambda: validate.problems(document))


def test_compose_is_valid(tmp_path):
    assert needed(lambda: validate.compose_problems(DEPLOY / "compose.yaml")) == []
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(
        (DEPLOY / "compose.yaml").read_text(encoding="utf-8").replace("read_only:", "readonly:"), encoding="utf-8"
    )
    assert validate.compose_problems(wrong)


def test_every_manifest_is_validated():
    found = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.yaml")}
    assert found == {*validate.MANIFESTS, validate.COMPOSE}


@each_container
def test_probes_ask_for_routes_that_need_no_token(container):
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        path = container[name]["httpGet"]["path"]
        assert path in ROUTES
        assert path.startswith(guard.OPEN_BELOW)
        port = container[name]["httpGet"]["port"]
        assert port in {container["ports"][0].get("name"), container["ports"][0]["containerPort"]}
    assert container["readinessProbe"]["httpGet"]["path"].endswith("/ready")
    assert container["livenessProbe"]["httpGet"]["path"].endswith("/live")


@each_container
def test_what_a_container_is_started_with_are_options_and_variables_of_the_service(container):
    options = serve(container["args"])
    assert options["host"] == "0.0.0.0"
    assert options["port"] == container["ports"][0]["containerPort"]
    (variable,) = container["env"]
    parameters = typer.main.get_command(app).commands["serve"].params
    assert variable["name"] in {parameter.envvar for parameter in parameters}
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "inkdigit", "key": "token"}  # and it must be there


@each_pod
def test_a_pod_has_the_time_to_finish_its_requests(pod, container):
    waited = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", str(waited)]
    assert pod["terminationGracePeriodSeconds"] > waited + DRAIN_S


@each_pod
def test_a_pod_may_do_nothing_that_it_need_not(pod, container):
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert user
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "fsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
    assert (volume["name"], mount["mountPath"]) == (mount["name"], "/tmp")
    assert "emptyDir" in volume
    assert number(container["resources"]["limits"]["memory"]) == number(REPLICAS[0]["mem_limit"])


def test_no_request_is_lost_in_an_update():
    spec = KUBERNETES["Deployment"]["spec"]
    for strategy in (spec["strategy"], PREDICTOR["deploymentStrategy"]):
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in spec
    assert KUBERNETES["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    spread = [(each["topologyKey"], each["maxSkew"]) for each in DEPLOYMENT_POD["topologySpreadConstraints"]]
    assert spread == [("kubernetes.io/hostname", 1), ("topology.kubernetes.io/zone", 1)]


def test_the_documents_are_about_the_same_pods():
    labels = KUBERNETES["Deployment"]["spec"]["template"]["metadata"]["labels"]
    spec = KUBERNETES["Deployment"]["spec"]
    selectors = [spec["selector"], KUBERNETES["PodDisruptionBudget"]["spec"]["selector"]]
    selectors += [each["labelSelector"] for each in DEPLOYMENT_POD["topologySpreadConstraints"]]
    assert all(selector == {"matchLabels": labels} for selector in selectors)
    assert KUBERNETES["Service"]["spec"]["selector"] == labels
    (port,) = KUBERNETES["Service"]["spec"]["ports"]
    assert port["targetPort"] == DEPLOYMENT_POD["containers"][0]["ports"][0]["name"]


def test_there_is_one_autoscaler_and_the_one_with_the_queue_replaces_it():
    plain = KUBERNETES["HorizontalPodAutoscaler"]
    assert plain["metadata"] == QUEUE["metadata"]
    for scaler in (plain, QUEUE):
        target = scaler["spec"]["scaleTargetRef"]
        deployment = KUBERNETES["Deployment"]
        assert (target["apiVersion"], target["kind"]) == (deployment["apiVersion"], deployment["kind"])
        assert target["name"] == deployment["metadata"]["name"]
    assert plain["spec"]["metrics"] == QUEUE["spec"]["metrics"][:1]


def test_the_metric_of_the_queue_is_one_of_the_service_and_the_rule_of_the_adapter_finds_it():
    name = QUEUE["spec"]["metrics"][1]["pods"]["metric"]["name"]
    assert re.search(rf"^{name} 0\.0$", Counts().text().decode(), re.MULTILINE)
    assert int(QUEUE["spec"]["metrics"][1]["pods"]["target"]["averageValue"]) < defaults.QUEUE
    comment = [
        line
        for line in (DEPLOY / "kubernetes/hpa-queue.yaml").read_text(encoding="utf-8").splitlines()
        if line[:3] == "#  "
    ]
    text = "\n".join(line.removeprefix("#") for line in comment if "kubectl" not in line)
    (rule,) = yaml.safe_load(text)["rules"]
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert rule["name"] == {"matches": name, "as": name}
    assert "/metrics" in ROUTES
    scrape = yaml.safe_load(readme_block("scrape_configs:"))["scrape_configs"][0]
    assert scrape["metrics_path"] == "/metrics"
    assert scrape["authorization"]["type"] == "Bearer"
    labels = {relabel["target_label"] for relabel in scrape["relabel_configs"] if "target_label" in relabel}
    assert labels == set(rule["resources"]["overrides"]) == {"namespace", "pod"}


def test_the_inference_service_uses_the_runtime_and_names_the_model_that_is_there():
    spec = KSERVE["ServingRuntime"]["spec"]
    model = PREDICTOR["model"]
    assert model["runtime"] == KSERVE["ServingRuntime"]["metadata"]["name"]
    (supported,) = spec["supportedModelFormats"]
    assert supported.items() >= model["modelFormat"].items()
    assert [model["protocolVersion"]] == spec["protocolVersions"] == ["v2"]
    assert spec["containers"][0]["name"] == "kserve-container"
    text = (DEPLOY / "kserve/inkdigit.yaml").read_text(encoding="utf-8")
    assert f"/v2/models/{Recognizer.load(Settings().models[0]).name}/infer" in text
    assert any(route.startswith("/v2/models/") and route.endswith("/infer") for route in ROUTES)


def test_the_replicas_of_compose_are_held_in_and_differ_only_in_their_address():
    assert len(REPLICAS) == 2
    plain = [{key: value for key, value in each.items() if key != "networks"} for each in REPLICAS]
    assert plain[0] == plain[1]
    for service in COMPOSE.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"] == service["memswap_limit"]
        assert [place.split(":")[0] for place in service["tmpfs"]] == ["/tmp"]
        assert number(service["stop_grace_period"]) > DRAIN_S
    assert serve(REPLICAS[0]["command"])["host"] == "0.0.0.0"
    assert "--collect" not in REPLICAS[0]["command"]
    assert REPLICAS[0]["environment"] == {TOKEN: f"${{{TOKEN}:-}}"}
    (port,) = COMPOSE["proxy"]["ports"]
    assert port == "127.0.0.1:8080:8080"
    assert directive("listen") == "8080"


def test_nginx_knows_the_replicas_of_compose():
    servers = re.findall(r"^ *server ([\w-]+):(\d+) max_fails=3 fail_timeout=1s;", NGINX, re.MULTILINE)
    names = [name for name in COMPOSE if name.startswith("replica-")]
    assert servers == [(name, str(defaults.PORT)) for name in names]
    assert set(COMPOSE["proxy"]["depends_on"]) == set(names)


def test_nginx_accepts_as_many_bytes_as_the_service():
    assert number(directive("client_max_body_size")) == defaults.MAX_BYTES
    assert number(directive("client_body_buffer_size")) == defaults.MAX_BYTES  # none is written to a file
    assert f"at most {defaults.MAX_BYTES} bytes" in NGINX


def test_nginx_waits_as_long_as_the_service_and_less_than_the_client():
    limit_s = defaults.TIME_LIMIT_S
    for name in ("client_header_timeout", "client_body_timeout"):
        assert number(directive(name)) == limit_s
    answer_s, connect_s = number(directive("proxy_read_timeout")), number(directive("proxy_connect_timeout"))
    assert answer_s > limit_s
    assert answer_s < number(directive("proxy_next_upstream_timeout"))
    tries = int(directive("proxy_next_upstream_tries"))
    assert tries == len(REPLICAS)
    assert tries * (answer_s + connect_s) < client.TIMEOUT_S
    assert number(directive("keepalive_timeout")) < server.KEEP_ALIVE_S
    assert "non_idempotent" in NGINX.partition("location / {")[2].partition("}")[0]
    assert "non_idempotent" not in NGINX.partition("location = /corrections {")[2].partition("}")[0]


def test_nginx_and_the_service_accept_the_same_request_ids():
    assert f'"~^{guard.REQUEST_ID.pattern.decode()}$"' in NGINX


def test_the_errors_of_nginx_are_errors_of_the_service():
    found = re.findall(r"return (\d+) '(\{.*\})';", NGINX)
    assert len(found) == 5
    for status, text in found:
        data = json.loads(text)
        assert data.keys() == {"error", "kind"}
        if data["kind"] != guard.INTERNAL_ERROR["kind"]:
            assert getattr(errors, data["kind"]).http_status == int(status)


def test_only_addresses_ports_and_paths_are_replaced_for_the_drill(tmp_path):
    own = replicas.configuration(NGINX, replicas=[1, 2], port=3, folder=tmp_path)
    changed = {old.split()[0] for old, new in zip(NGINX.splitlines(), own.splitlines(), strict=True) if old != new}
    paths = {f"{kind}_temp_path" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")}
    assert changed == {"pid", "error_log", "access_log", "server", "listen", *paths}
    with pytest.raises(ValueError, match="has no"):
        replicas.configuration(own, replicas=[1, 2], port=3, folder=tmp_path)


def readme_block(first: str) -> str:
    """The code block of the README with this line."""
    (block,) = [each for each in re.findall(r"```\w*\n(.*?)```", readme(), re.DOTALL) if first in each]
    return block


def readme() -> str:
    return (DEPLOY / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_every_file_and_files_that_there_are():
    here = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.*") if path.suffix not in (".pyc", ".md")}
    assert {name for name in here if f"`{name}`" not in readme()} == set()
    for line in re.findall(r"kubectl apply .*", readme()):
        words = shlex.split(line, comments=True)
        assert (ROOT / words[words.index("-f") + 1]).is_file()
