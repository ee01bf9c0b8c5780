"""What ``starter`` and ``starter:MEMBER`` stand for, with adapters of the tests' own in the shipped ones' place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from agent.models import shipped, starter
from agent.models.registry import resolve
from agent.models.weights import check_fit
from agent.training import _init_of
from agent.trainingrun import TrainOptions
from tests.models.checkpoints import tiny_adapter, tiny_base
from tools.errors import ModelError
from tui.main import run

NAMES = ("everyday", "science", "broad")
KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small adapters that fit ``tiny_base``."""
    folder = tmp_path / "adapters"
    for seed, name in enumerate(NAMES):
        tiny_adapter(folder / name, seed=seed)
    monkeypatch.setenv(shipped.VARIABLE, str(folder))
    return folder


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter_path: Path) -> Path:
    """Copies of an adapter that really ships, as three members; blends go into a cache of the test's own."""
    cache = tmp_path / "cache"
    (cache / "models").mkdir(parents=True)
    (cache / "models" / starter_path.name).symlink_to(starter_path.resolve())
    monkeypatch.setenv("QUORUM_CACHE", str(cache))
    folder = tmp_path / "adapters"
    own = next(iter(shipped.shipped(shipped.FOLDER).values())).folder
    for name in NAMES:
        shutil.copytree(own, folder / name)
    shares(folder, everyday=1, science=1, broad=2)
    monkeypatch.setenv(shipped.VARIABLE, str(folder))
    return folder


def shares(folder: Path, **given: float) -> None:
    lines = [f'[members.{name}]\nshare = {share}\nsummary = "about {name}"\n' for name, share in given.items()]
    (folder / shipped.FILE).write_text("\n".join(lines))


def matrices(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / shipped.WEIGHTS)


# -- blending -------------------------------------------------------------------------------------------------------


def test_the_blend_is_the_weighted_mean_of_every_number(adapters: Path, tmp_path: Path) -> None:
    shares(adapters, science=1, everyday=2, broad=5)
    found = shipped.blend(cache_dir=tmp_path / "cache")
    assert found is not None
    parts = {name: matrices(adapters / name) for name in NAMES}
    blend = matrices(found)
    assert set(blend) == set(parts["broad"])
    for key, value in blend.items():
        for place in np.ndindex(value.shape):
            by_hand = (
                2 * float(parts["everyday"][key][place])
                + float(parts["science"][key][place])
                + 5 * float(parts["broad"][key][place])
            ) / 8
            assert value[place] == pytest.approx(by_hand, rel=1e-6)
    assert check_fit(tiny_base(tmp_path / "base"), found) == 4


def test_the_same_adapters_give_the_same_bytes_and_others_another_blend(adapters: Path, tmp_path: Path) -> None:
    made = []
    for cache in ("one", "two"):
        order = dict.fromkeys(NAMES if cache == "one" else NAMES[::-1], 1.0)
        shares(adapters, **order)
        made.append(shipped.blend(cache_dir=tmp_path / cache))
    assert made[0] is not None and made[1] is not None and made[0].parent.name == made[1].parent.name
    for file in (shipped.WEIGHTS, shipped.CONFIG):
        assert (made[0] / file).read_bytes() == (made[1] / file).read_bytes()
    time = (made[0] / shipped.WEIGHTS).stat().st_mtime_ns
    assert shipped.blend(cache_dir=tmp_path / "one") == made[0]
    assert (made[0] / shipped.WEIGHTS).stat().st_mtime_ns == time
    # Shares count by what they are of the whole.
    shares(adapters, everyday=3, science=3, broad=3)
    assert shipped.blend(cache_dir=tmp_path / "one") == made[0]
    shares(adapters, everyday=1, science=1, broad=2)
    assert shipped.blend(cache_dir=tmp_path / "one") != made[0]
    shares(adapters, everyday=1, science=1, broad=1)
    tiny_new = tiny_adapter(tmp_path / "new", seed=77)
    shutil.copyfile(tiny_new / shipped.WEIGHTS, adapters / "broad" / shipped.WEIGHTS)
    assert shipped.blend(cache_dir=tmp_path / "one") != made[0]


def test_equal_adapters_in_bf16_blend_to_themselves(tmp_path: Path, copies: Path) -> None:
    found = shipped.blend(cache_dir=tmp_path / "cache")
    assert found is not None
    blend = matrices(found)
    raw = shipped._tensors(copies / "science")
    assert set(raw) == set(blend) and any(value.any() for value in blend.values())
    for key, value in blend.items():
        assert value.dtype == np.float32 and np.array_equal(value, raw[key].astype(np.float32))


def test_without_a_file_all_are_blended_alike(adapters: Path, tmp_path: Path) -> None:
    found = shipped.blend(cache_dir=tmp_path / "cache")
    assert found is not None
    mean = np.mean([matrices(adapters / name)[KEY] for name in NAMES], axis=0)
    np.testing.assert_allclose(matrices(found)[KEY], mean, rtol=1e-6)


def test_a_share_of_nothing_and_no_share_leave_an_adapter_out(adapters: Path, tmp_path: Path) -> None:
    shares(adapters, everyday=1, science=0)
    assert list(shipped.shipped()) == ["everyday", "science", "broad"]
    assert list(shipped.blended()) == ["everyday"]
    # What is alone in the blend is taken as it is.
    assert shipped.blend(cache_dir=tmp_path / "cache") == adapters / "everyday"
    assert starter.adapter("starter:broad") == adapters / "broad"


def test_the_only_adapter_is_the_starter_whatever_the_file_says(adapters: Path) -> None:
    shares(adapters, everyday=1, science=1)
    for name in ("everyday", "broad"):
        shutil.rmtree(adapters / name)
    assert starter.adapter() == starter.adapter("starter:science") == adapters / "science"


def test_no_adapter_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shipped.VARIABLE, str(tmp_path / "none"))
    assert shipped.shipped() == {} and starter.adapter() is None
    with pytest.raises(ModelError, match="no member 'science'") as caught:
        starter.adapter("starter:science")
    assert "there are none" in caught.value.hint


# -- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[members.other]\nshare = 1", "no adapter 'other'"),
        ("[members.everyday]\nshare = 0", "no adapter has a share"),
        ("[members.everyday]\nshare = -1", "members.everyday.share"),
        ("[members.everyday]\nshare = nan", "members.everyday.share"),
        ("[member.everyday]\nshare = 1", "member: Extra inputs"),
        ("[members", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used(adapters: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    (adapters / shipped.FILE).write_text(text)
    with pytest.raises(ModelError, match=says) as caught:
        shipped.blend()
    assert caught.value.hint and "\n" not in caught.value.message.partition("(")[0]
    assert run(["models", "list"]) == 2
    assert capsys.readouterr().err.startswith("quorum: ")


@pytest.mark.parametrize(
    ("key", "value"), [("r", 8), ("lora_alpha", 3), ("use_rslora", True), ("target_modules", ["k_proj"])]
)
def test_adapters_that_mean_different_things_are_not_blended(
    adapters: Path, tmp_path: Path, key: str, value: object
) -> None:
    path = adapters / "science" / shipped.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError, match=f"science: {key} is|broad|everyday") as caught:
        shipped.blend(cache_dir=tmp_path / "cache")
    assert key in caught.value.message and "one recipe" in caught.value.hint
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_adapters_of_other_shapes_and_pickles_are_not_blended(adapters: Path, tmp_path: Path) -> None:
    tensors = matrices(adapters / "science")
    save_file({KEY: tensors[KEY]}, adapters / "science" / shipped.WEIGHTS)
    with pytest.raises(ModelError, match="other names or shapes"):
        shipped.blend(cache_dir=tmp_path / "cache")
    (adapters / "science" / shipped.WEIGHTS).write_bytes(b"cut")
    with pytest.raises(ModelError, match="no usable safetensors"):
        shipped.blend(cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


# -- names and commands ---------------------------------------------------------------------------------------------


def test_names_are_models_of_their_own(copies: Path, starter_path: Path, tmp_path: Path) -> None:
    refs = [resolve(name, merge=False) for name in ("starter", "starter:everyday", "starter:broad", "starter-base")]
    assert [ref.served_name for ref in refs] == ["starter", "starter:everyday", "starter:broad", "starter-base"]
    assert all(ref.kind == "starter" and ref.base and ref.base.resolve() == starter_path.resolve() for ref in refs)
    assert refs[1].adapter == copies / "everyday" and refs[3].adapter is None
    assert refs[0].adapter is not None and refs[0].adapter.name == "starter"
    # The copies are the same weights: one revision, which is not the blend's, whose file is in float32.
    assert refs[1].revision == refs[2].revision != refs[0].revision
    own = tiny_adapter(tmp_path / "own")
    with pytest.raises(ModelError, match="does not fit"):
        resolve("starter:broad", adapter=own, merge=False)


def test_an_unknown_member_is_told_with_those_that_there_are(
    copies: Path, starter_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["pull", "starter:sience"], ["serve", "starter:sience"], ["info", "starter:sience"]):
        assert run(["models", *words]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err == (
            "quorum: the starter has no member 'sience'\n"
            "hint: there are starter:everyday, starter:science, starter:broad; starter is their blend\n"
        )


def test_commands_show_the_members(copies: Path, starter_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows)[:5] == ["starter", *(f"starter:{name}" for name in NAMES), "starter-base"]
    assert rows["starter"]["about"] == "the blend of everyday (25%), science (25%), broad (50%)"
    assert rows["starter:broad"]["about"] == "about broad"
    assert run(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["starter:science"]["detail"] == "rank 16, about science"
    assert checks["starter"]["detail"].startswith("the blend of everyday (25%)") and checks["starter"]["level"] == "ok"
    (copies / "science" / shipped.WEIGHTS).write_bytes(b"cut")
    assert run(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["starter"]["level"] == "warning" and "no usable safetensors" in checks["starter"]["detail"]


def test_info_of_a_model_of_the_project(tmp_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_base(tmp_path / "mine")
    with (tmp_project / "quorum.toml").open("a") as file:
        file.write(f'\n[models.news]\nsource = "{tmp_path / "mine"}"\n')
    assert run(["models", "info", "news", "--project", str(tmp_project), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["kind"], found["context_tokens"], found["rank"]) == ("news", "path", 512, None)
    assert "members" not in found and found["revision"] == resolve(str(tmp_path / "mine")).revision


@pytest.mark.parametrize("init", ["starter", "starter:science", "auto"])
def test_training_begins_with_the_blend_or_a_member(copies: Path, starter_path: Path, init: str) -> None:
    ref = resolve("starter", merge=False)
    found = _init_of(ref, starter_path, TrainOptions(init=init))
    assert found == (copies / "science" if init == "starter:science" else starter.adapter())
    assert found is not None and check_fit(starter_path, found) == 16
    if init != "starter:science":
        assert json.loads((found / shipped.CONFIG).read_text())["r"] == 16
    with pytest.raises(ModelError, match="no member 'x'"):
        _init_of(ref, starter_path, TrainOptions(init="starter:x"))


def test_what_ships_is_in_order() -> None:
    here = shipped.shipped(shipped.FOLDER)
    assert here and any(each.share for each in here.values())
    for each in here.values():
        assert each.summary, f"{shipped.FILE} says nothing about {each.name}"
        assert (each.folder / "README.md").is_file()
        assert (each.folder / shipped.WEIGHTS).stat().st_size <= 12 * 2**20
        assert not [path for path in each.folder.iterdir() if path.suffix in (".bin", ".pt", ".pth")]
