"""The tests of a commit run as on their author's machine, and cannot change or read what is the trainer's."""

import io
import os
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from services.trainer.attempt.checkout import folder_name
from services.trainer.attempt.work import run_attempt
from services.trainer.programs import interpreter
from services.trainer.programs.confinement import beside, can_confine, is_shared
from tests.house.tree import ROOT
from tests.trainer.attempt.test_work import child
from tests.trainer.conftest import TRUSTED, Trial
from tests.trainer.repositories import TAKEN_NAMES, repository

confined = pytest.mark.skipif(
    not can_confine() or any(map(is_shared, [*Path(sys.prefix).parents, *ROOT.parents])),
    reason="this kernel has no Landlock, or this tree lies in a shared temporary folder",
)


def wheel(name: str) -> bytes:
    """A package of one module, which says OWN."""
    content = io.BytesIO()
    about = f"{name}-99.dist-info"
    with zipfile.ZipFile(content, "w") as files:
        files.writestr(f"{name}.py", "OWN = True\n")
        files.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 99\n")
        files.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr(f"{about}/RECORD", f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    return content.getvalue()


def printed(trial: Trial, directory: Path, check: str, files: dict[str, str | bytes] | None = None, **changes) -> str:
    """What the tests of a commit print that run this check with `python check.py`; they must pass."""
    source = repository(
        directory / "tiny", files={"check.py": check, **(files or {})}, tests=changes.pop("tests", "python check.py")
    )
    trial.run(source, child=child("sys.exit(1)"), **changes)
    assert trial.sent, str(trial.report)
    tested = trial.sent[0].report_code_tested.fact
    assert tested.passed, tested.log_tail
    return tested.log_tail


def test_a_repository_imports_its_own_modules_whatever_their_names_are(trial: Trial, tmp_path: Path) -> None:
    check = "import child, services.widths, sitecustomize, tests.signs, headgate.sizes; print(tests.signs.__path__)"
    check = check.replace("; print(tests.signs.__path__)", "; print(tests.signs.OWN and services.widths.OWN)")
    assert printed(trial, tmp_path, check, dict(TAKEN_NAMES)) == "True\n"


def test_headgates_own_packages_are_not_there(trial: Trial, tmp_path: Path) -> None:
    check = (
        "from importlib.util import find_spec\nprint([n for n in ('headgate', 'services', 'tests') if find_spec(n)])"
    )
    assert printed(trial, tmp_path, check) == "[]\n"


def test_the_tests_see_the_trainers_packages_and_programs(trial: Trial, tmp_path: Path) -> None:
    check = """
import os, shutil, subprocess, sys
from importlib.util import find_spec
print(all(find_spec(name) for name in ("torch", "numpy", "pytest")))
print({shutil.which(name) == os.path.join(sys.prefix, "bin", name) for name in ("python", "python3")})
print(subprocess.run(["pytest", "--version"], capture_output=True, check=True, text=True).stdout.split()[0])
"""
    assert printed(trial, tmp_path, check).split() == ["True", "{True}", "pytest"]


@pytest.mark.parametrize("program", ["python -m pytest -q -p no:cacheprovider", "pytest -q"])
def test_tests_beside_the_code_they_test_are_found(trial: Trial, tmp_path: Path, program: str) -> None:
    files = {
        "services/__init__.py": "",
        "services/prices.py": "def price(): return 3",
        "conftest.py": "",
        "types.py": "raise ImportError('the standard library has a module of this name')",
        "tests/test_prices.py": "from services.prices import price\ndef test_it(): assert price() == 3\n",
    }
    if program.startswith("python"):
        files.pop("types.py")
    assert "1 passed" in printed(trial, tmp_path, "", files, tests=program)


def test_the_variables_and_the_directory_are_those_of_a_fresh_clone(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEADGATE_KEYS", "AWS_SECRET_ACCESS_KEY", "PIP_INDEX_URL", "PYTHONPATH", "HTTPS_PROXY"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.prefix) / "bin"), "/usr/bin", "/bin"]))
    check = """
import os, sys
from pathlib import Path
print(sorted(os.environ.keys() - {"LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE"}))
print(Path.cwd().name, sys.argv, sys.path[0] == os.getcwd(), os.environ["PATH"].split(":")[2:])
print(Path.home().is_relative_to(Path.cwd().parents[1]), os.listdir(Path.home()))
"""
    names = ["HOME", "OMP_NUM_THREADS", "PATH", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "TMPDIR", "VIRTUAL_ENV"]
    assert printed(trial, tmp_path, check).splitlines() == [
        str(names), "tiny ['check.py'] True ['/usr/bin', '/bin']", "True []"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("/srv/git/fraud.git", "fraud"),
        ("/srv/fraud/.git", "fraud"),
        ("/srv/fraud/", "fraud"),
        ("https://git.example.com/team/fraud.git", "fraud"),
        ("git@git.example.com:fraud", "fraud"),
        ("ssh://git@git.example.com/~a/fraud-2.0", "fraud-2.0"),
        ("/srv/a b", "repository"),
        ("/srv/..", "repository"),
        ("/", "repository"),
    ],
)
def test_the_folder_of_a_checkout_is_called_as_git_would_call_it(repository: str, name: str) -> None:
    assert folder_name(repository) == name


@pytest.mark.parametrize("pip", ["python -m pip", "pip", "pip3"])
def test_what_the_tests_install_ends_with_the_attempt(trial: Trial, tmp_path: Path, pip: str) -> None:
    install = f"{pip} install -q --no-index --no-deps"
    tests = f"""sh -c "{install} ./extra-99-py3-none-any.whl ./numpy-99-py3-none-any.whl && python check.py" """
    before = version("numpy")
    files: dict[str, str | bytes] = {f"{name}-99-py3-none-any.whl": wheel(name) for name in ("extra", "numpy")}
    check = "import extra, numpy; from importlib.metadata import version; print(numpy.OWN, version('numpy'))"
    assert printed(trial, tmp_path, check, files, tests=tests).splitlines()[-1] == "True 99"
    assert version("numpy") == before == np.__version__
    with pytest.raises(PackageNotFoundError):
        version("extra")
    assert find_spec("extra") is None


def test_pythons_own_pip_is_borrowed_where_the_trainer_has_none(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_pip(name: str) -> Distribution:
        if name == "pip":
            raise PackageNotFoundError(name)
        return distribution(name)

    own = interpreter.own_entries()
    monkeypatch.setattr(interpreter, "distribution", without_pip)
    monkeypatch.setattr(interpreter, "own_entries", lambda: own | {"pip"})
    tests = 'sh -c "pip install -q --no-index --no-deps ./extra-99-py3-none-any.whl && python check.py"'
    check = "import extra, pip; print(extra.OWN, '.whl' in pip.__file__)"
    found = printed(trial, tmp_path, check, {"extra-99-py3-none-any.whl": wheel("extra")}, tests=tests)
    assert found.splitlines()[-1] == "True True"


def test_the_tests_cannot_remove_a_package_of_the_trainer(trial: Trial, tmp_path: Path) -> None:
    tests = 'sh -c "pip uninstall -y numpy; python check.py"'
    assert printed(trial, tmp_path, "import numpy; print(numpy.__version__)", tests=tests).endswith(
        np.__version__ + "\n"
    )
    assert Path(np.__file__).exists()


def test_what_the_tests_leave_at_home_does_not_reach_the_training(trial: Trial, tmp_path: Path) -> None:
    check = "from pathlib import Path; (Path.home() / 'left').write_text('x')"
    printed(trial, tmp_path, check)
    source = trial.tools.scratch.parent / "tiny"
    assert source.exists()
    look = (
        "print(sorted(p.name for n in ('HOME', 'TMPDIR') for p in pathlib.Path(os.environ[n]).iterdir())); sys.exit(1)"
    )
    trial.tools.attempts._attempts.clear()
    second = repository(tmp_path / "again", files={"check.py": check}, tests="python check.py")
    report = trial.run(second, child=child(look))
    assert report is not None
    assert report.report_training_failed.fact.log_tail == "[]\n"


@confined
def test_without_a_jail_the_tests_cannot_change_the_trainers_files_or_read_its_keys(
    trial: Trial, tmp_path: Path
) -> None:
    key = ROOT / "README.md"
    own = Path(run_attempt.__code__.co_filename)
    places = [
        np.__file__,
        str(Path(np.__file__).parent / "new.py"),
        str(own),
        str(own.parent / "new.py"),
        sys.prefix + "/x",
    ]
    check = f"""
import os, pathlib
def fault_of(act):
    try: act()
    except PermissionError: return "refused"
for place in {places!r}: print(fault_of(lambda: open(place, "a")))
print(fault_of(lambda: os.remove({str(own)!r})), fault_of(lambda: os.rename({str(own)!r}, {str(own)!r} + "x")))
print(fault_of(lambda: open({str(key)!r})), fault_of(lambda: os.kill({os.getpid()}, 0)))
print(fault_of(lambda: open("/proc/{os.getpid()}/environ").read(1)))
open("/dev/null", "w"); pathlib.Path({str(tmp_path / "elsewhere" / "x")!r}).write_text("x"); open("/etc/passwd").read(1)
"""
    (tmp_path / "elsewhere").mkdir()
    assert set(printed(trial, tmp_path, check, hidden=(key,), **TRUSTED).split()) == {"refused"}
    assert own.exists()


def test_what_is_allowed_lies_beside_what_is_kept(tmp_path: Path) -> None:
    for folder in ("a/kept", "a/open", "shared/kept", "shared/open"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "kept")
    kept = {tmp_path / "a" / "kept", tmp_path / "shared" / "kept"}
    assert set(beside(tmp_path, kept)) == {tmp_path / "a" / "open", tmp_path / "shared"}
