import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgespiral.core.errors import ModelError, UsageError
from edgespiral.core.records.parts import PARTS, PartFile, described
from edgespiral.core.system.files import sha256_file
from edgespiral.gate.reference import from_baseline, from_path, from_ref
from edgespiral.gate.run import Gate
from edgespiral.gate.suite import load_suite
from edgespiral.measure.profile import TargetProfile

Make = Callable[..., Path]


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def committed(folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")


def test_an_only_model_is_compared_with_what_is_named(chain: Make, suite_file: Make) -> None:
    chain("net.onnx")
    other, in_run = chain("other.onnx"), chain("run/model.onnx")
    path = suite_file('path = "net.onnx"')
    suite = load_suite(path)
    [case] = suite.models
    found = [from_path(path, suite, place)(case) for place in (other, in_run.parent)]
    assert [counterpart and counterpart.file for counterpart in found] == [other, in_run]


def test_models_of_a_suite_lie_in_the_folder_named(chain: Make, suite_file: Make) -> None:
    chain("a.onnx"), chain("b.onnx")
    old = chain("old/a.onnx")
    path = suite_file('path = "a.onnx"', 'path = "b.onnx"')
    suite = load_suite(path)
    find = from_path(path, suite, old.parent)
    counterpart = find(suite.models[0])
    assert counterpart is not None
    assert counterpart.file == old
    with pytest.raises(ModelError, match=r"old/b\.onnx: no such file"):
        find(suite.models[1])


def test_no_model_is_compared_with_itself(chain: Make, suite_file: Make, tmp_path: Path) -> None:
    model, old = chain("nets/net.onnx"), chain("old/model.onnx")
    (tmp_path / "link.onnx").symlink_to(model)
    (tmp_path / "old" / "same").mkdir()
    (tmp_path / "old" / "same" / "net.onnx").hardlink_to(model)
    for own in (str(model), "old/../nets/net.onnx", "nets/net.onnx"):
        path = suite_file(f'path = "{own}"')
        suite = load_suite(path)
        [case] = suite.models
        # The run's folder, and its file: what is named is what is meant.
        for against in (old.parent, old):
            counterpart = from_path(path, suite, against)(case)
            assert counterpart is not None
            assert counterpart.file == old
        for against in (model, tmp_path / "link.onnx", old.parent / "same" / "net.onnx", tmp_path):
            with pytest.raises(ModelError, match=r"is the model itself|no model\.onnx"):
                from_path(path, suite, against)(case)


def test_of_several_models_no_path_leads_out_of_the_folder(
    chain: Make, suite_file: Make, tmp_path: Path
) -> None:
    model, old = chain("net.onnx"), chain("old/a.onnx")
    (tmp_path / "ci").mkdir()
    suite = load_suite(suite_file(f'path = "{model}"', 'path = "old/a.onnx"'))
    for own in (str(model), "ci/../../net.onnx"):
        case = suite.models[0].model_copy(update={"path": own})
        with pytest.raises(ModelError, match="leads out of every folder"):
            from_path(tmp_path / "ci" / "suite.toml", suite, old.parent)(case)


def test_a_model_that_may_be_new_is_compared_with_what_is_there(
    chain: Make, suite_file: Make
) -> None:
    chain("net.onnx")
    in_run = chain("run/model.onnx")
    path = suite_file('path = "net.onnx"\nallow_new = true')
    suite = load_suite(path)
    counterpart = from_path(path, suite, in_run.parent)(suite.models[0])
    assert counterpart is not None
    assert counterpart.file == in_run


def test_a_ref_s_file_is_taken_from_git(chain: Make, suite_file: Make, tmp_path: Path) -> None:
    before = chain("net.onnx", 1).read_bytes()
    path = suite_file('path = "net.onnx"')
    committed(tmp_path)
    chain("net.onnx", 3)
    (tmp_path / "work").mkdir()
    counterpart = from_ref(path, "HEAD", tmp_path / "work")(load_suite(path).models[0])
    assert counterpart is not None
    assert counterpart.label == "HEAD"
    assert counterpart.file is not None
    assert counterpart.file.read_bytes() == before


def test_weights_beside_the_model_come_too(
    chain: Make, suite_file: Make, tmp_path: Path, profile: TargetProfile
) -> None:
    model = onnx.load(chain("net.onnx", 1))
    onnx.save(
        model, tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    path = suite_file('path = "net.onnx"')
    committed(tmp_path)
    (tmp_path / "w.bin").unlink()
    chain("net.onnx", 6)
    (tmp_path / "work").mkdir()
    suite = load_suite(path)
    result = Gate(suite, path, profile, from_ref(path, "HEAD", tmp_path / "work")).run()
    assert result.verdict == "missed"


def test_the_old_files_may_lie_in_folders_and_links_that_are_gone(
    chain: Make, suite_file: Make, tmp_path: Path
) -> None:
    chain("nets/v1.onnx", 1)
    weights = tmp_path / "nets" / "weights" / "w.bin"
    weights.parent.mkdir()
    onnx.save(
        onnx.load(tmp_path / "nets" / "v1.onnx"),
        tmp_path / "nets" / "v1.onnx",
        save_as_external_data=True,
        location="weights/w.bin",
        size_threshold=0,
    )
    held = weights.read_bytes()
    (tmp_path / "nets" / "net.onnx").symlink_to("v1.onnx")
    path = suite_file('path = "nets/net.onnx"')
    committed(tmp_path)
    weights.unlink()
    weights.parent.rmdir()
    (tmp_path / "nets" / "net.onnx").unlink()
    chain("nets/net.onnx", 2)
    (tmp_path / "work").mkdir()
    counterpart = from_ref(path, "HEAD", tmp_path / "work")(load_suite(path).models[0])
    assert counterpart is not None
    assert counterpart.file is not None
    assert len(onnx.load(counterpart.file).graph.node) == 1
    assert (counterpart.file.parent / "weights" / "w.bin").read_bytes() == held


def test_a_model_of_no_repository_leaves_the_others_to_be_compared(
    chain: Make,
    suite_file: Make,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chain("net.onnx")
    elsewhere = chain("b.onnx").rename(tmp_path_factory.mktemp("elsewhere") / "b.onnx")
    path = suite_file('path = "net.onnx"', f'path = "{elsewhere}"')
    committed(tmp_path)
    (tmp_path / "work").mkdir()
    find = from_ref(path, "HEAD", tmp_path / "work")
    own, other = load_suite(path).models
    assert find(own) is not None
    with pytest.raises(ModelError, match=r"b\.onnx: is not in a git repository"):
        find(other)


def test_parts_of_the_model_come_too(
    chain: Make, suite_file: Make, tmp_path: Path, profile: TargetProfile
) -> None:
    part = chain("net.step.onnx", 1)
    whole = onnx.load(chain("net.onnx", 1))
    step = PartFile("step", part.name, count=2, sha256=sha256_file(part))
    whole.metadata_props.add(key=PARTS, value=described([step]))
    onnx.save(whole, tmp_path / "net.onnx")
    path = suite_file('path = "net.onnx"')
    committed(tmp_path)
    part.unlink()
    chain("net.onnx", 1)
    (tmp_path / "work").mkdir()
    suite = load_suite(path)
    [case] = Gate(suite, path, profile, from_ref(path, "HEAD", tmp_path / "work")).run().cases
    assert case.reference is not None, case.error
    assert [(own.name, own.count) for own in case.reference.measurement.parts] == [("step", 2)]


def test_what_git_lacks_is_told(chain: Make, suite_file: Make, tmp_path: Path) -> None:
    path = suite_file('path = "net.onnx"')
    (tmp_path / "lfs.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    committed(tmp_path)
    chain("net.onnx")
    suite = load_suite(path)
    find = from_ref(path, "HEAD", tmp_path)
    with pytest.raises(ModelError, match=r"net\.onnx: is not in git at HEAD; build it there"):
        find(suite.models[0])
    with pytest.raises(ModelError, match=r"lfs\.onnx: is only a Git LFS pointer"):
        find(suite.models[0].model_copy(update={"path": "lfs.onnx"}))
    with pytest.raises(UsageError, match="git knows no commit 'v9'"):
        from_ref(path, "v9", tmp_path)(suite.models[0])


def test_a_baseline_without_the_model_is_told(
    chain: Make, suite_file: Make, profile: TargetProfile
) -> None:
    chain()
    path = suite_file('path = "net.onnx"')
    suite = load_suite(path)
    stored = Gate(suite, path, profile).run()
    counterpart = from_baseline(suite, "main", stored)(suite.models[0])
    assert counterpart is not None
    assert counterpart.stored == stored.cases[0]
    [case] = suite.models
    other = suite.model_copy(update={"models": (case.model_copy(update={"name": "nett"}),)})
    with pytest.raises(UsageError, match="baseline main: unknown model 'nett'"):
        from_baseline(other, "main", stored)


def test_a_model_may_be_new_where_the_suite_says_so(
    chain: Make, suite_file: Make, tmp_path: Path, profile: TargetProfile
) -> None:
    chain("old/other.onnx")
    path = suite_file('path = "net.onnx"\nallow_new = true\nbudget_ms = 1000')
    committed(tmp_path)
    chain("net.onnx")
    suite = load_suite(path)
    [case] = suite.models
    stored = Gate(suite, path, profile).run()
    elsewhere = stored.model_copy(
        update={"cases": (stored.cases[0].model_copy(update={"name": "other"}),)}
    )
    finders = [
        from_ref(path, "HEAD", tmp_path),
        from_path(path, suite, tmp_path / "old"),
        from_baseline(suite, "main", elsewhere),
    ]
    assert [find(case) for find in finders] == [None, None, None]
    result = Gate(suite, path, profile, finders[0]).run()
    assert (result.verdict, result.cases[0].is_new) == ("met", True)
    assert not stored.cases[0].is_new
    with pytest.raises(ModelError, match="no such file"):
        from_path(path, suite, tmp_path / "oldd")(case)
