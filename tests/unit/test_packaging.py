"""The image, compose and Render files cannot be run here; what they name must at least exist and agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
RENDER: dict[str, Any] = yaml.safe_load((ROOT / "render.yaml").read_text("utf-8"))
HEALTH = "/api/status"


def dockerfile_variables() -> dict[str, str]:
    block = re.search(r"^ENV ((?:.*\\\n)*.*)", DOCKERFILE, re.MULTILINE)
    assert block
    return dict(re.findall(r"(\w+)=(\S+)", block[1]))


def setting_names() -> set[str]:
    names = {name.upper() for name in Settings.model_fields}
    return names | {"TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN"}


def test_the_image_is_built_from_files_that_exist_and_docker_is_allowed_to_see() -> None:
    allowed = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE) for source in sources(line)
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in allowed, f"{source} is hidden by .dockerignore"
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1] == "*", "nothing else: never .env"


def sources(copy: str) -> list[str]:
    return [word for word in copy.split()[:-1] if not word.startswith("--")]


def test_the_image_installs_by_hash_and_runs_without_root() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert "exec python -m app.safety.confine.launch" in (ROOT / "docker/entrypoint.sh").read_text("utf-8")
    assert COMPOSE["services"]["nanobot"]["cap_drop"] == ["ALL"]
    assert COMPOSE["services"]["nanobot"]["cap_add"] == ["SETUID", "SETGID", "KILL", "CHOWN"]


def test_the_image_is_set_through_settings_that_exist() -> None:
    variables = dockerfile_variables()
    known = setting_names()
    assert variables["HOST"] == "0.0.0.0"
    plain = {"PATH", "HOME", "LANG", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    assert variables.keys() - plain <= known
    assert COMPOSE["services"]["nanobot"]["environment"].keys() <= known
    uvicorns = {"FORWARDED_ALLOW_IPS"}
    assert {variable["key"] for variable in RENDER["services"][0]["envVars"]} - uvicorns <= known


def test_the_container_answers_to_the_port_it_is_given_and_to_sigterm() -> None:
    command = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert command, "exec form: a shell form would keep the signals"
    assert "exec python -m uvicorn app.main:app" in command[1]
    assert '\\"$PORT\\"' in command[1]
    assert DOCKERFILE.count(HEALTH) == 1


def test_compose_publishes_on_this_machine_only_and_keeps_what_must_be_kept() -> None:
    service = COMPOSE["services"]["nanobot"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert service["environment"]["PORT"] == "8000"
    assert service["stop_grace_period"] == "30s"
    assert service["env_file"] == [{"path": ".env", "required": False}]
    kept = {volume.split(":")[1] for volume in service["volumes"]}
    assert kept == {service["environment"]["DATA_DIR"], service["environment"]["WORKSPACE_DIR"]}
    assert {volume.split(":")[0] for volume in service["volumes"]} == set(COMPOSE["volumes"])


def test_render_keeps_everything_on_its_disk_and_no_secret_in_the_file() -> None:
    (service,) = RENDER["services"]
    assert (ROOT / service["dockerfilePath"]).exists()
    assert service["healthCheckPath"] == HEALTH
    assert service["numInstances"] == 1, "one process owns the data folder"
    variables = {variable["key"]: variable for variable in service["envVars"]}
    for name in ("DATA_DIR", "WORKSPACE_DIR", "PROJECTS_DIRS"):
        assert variables[name]["value"].startswith(service["disk"]["mountPath"])
    for name, variable in variables.items():
        if re.search("TOKEN|KEY|PASSWORD", name):
            assert variable == {"key": name, "sync": False}


if os.name == "posix":

    def test_the_entry_point_execs_what_it_is_given(tmp_path: Path) -> None:
        if os.geteuid() == 0:
            folders = {"DATA_DIR": str(tmp_path / "data"), "WORKSPACE_DIR": str(tmp_path / "workspace")}
            expected = "1000"
        else:
            folders, expected = {}, str(os.geteuid())
        run = [str(ROOT / "docker/entrypoint.sh"), "sh", "-c", "id -u; echo $$; grep CapEff /proc/self/status"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {**os.environ, **folders, "PATH": path}
        with subprocess.Popen(run, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
            output, _ = process.communicate(timeout=10)
        assert output.split()[:2] == [expected, str(process.pid)], "same process: signals arrive"
        assert os.geteuid() != 0 or int(output.split()[-1], 16) == 0
        for folder in folders.values():
            assert Path(folder).stat().st_uid == 1000


def test_continuous_integration_runs_what_a_developer_runs() -> None:
    assert "exec python3 dev.py test\n" in (ROOT / ".ci/run").read_text("utf-8")
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text("utf-8"))
    test = workflow["jobs"]["test"]
    assert test["steps"][-1] == {"run": "python3 dev.py test", "env": {"CI": "true"}}
    assert test["steps"][0]["with"]["fetch-depth"] == 0, "the size ratchet needs the history"


@pytest.mark.parametrize("name", [".env", "data/sessions/telegram_1.jsonl", ".venv/x", ".tools/x"])
def test_git_ignores_secrets_data_and_what_dev_py_makes(name: str) -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_the_example_configuration_is_not_ignored() -> None:
    assert subprocess.run(["git", "check-ignore", "-q", ".env.example"], cwd=ROOT, check=False).returncode == 1
