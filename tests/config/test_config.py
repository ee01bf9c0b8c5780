"""The project file: defaults, validation with the line at fault, environment, hash."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import MemberConfig, ModelConfig, ProjectConfig, RunConfig, StepsConfig, write_template
from agent.configtemplate import effective_toml, labels_toml, project_toml, toml_value
from tools.annotation.labelfile import read_label_set
from tools.annotation.labels import Label, LabelSet
from tools.errors import ConfigError

FILE = Path("p/quorum.toml")


def parse(text: str, environment: dict[str, str] | None = None) -> ProjectConfig:
    return ProjectConfig.parse(text, FILE, environment=environment or {})


def fault(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value


def test_defaults_are_three_ways_to_ask_the_starter() -> None:
    config = ProjectConfig.default(environment={})
    assert [(m.name, m.model, m.extract, m.classify) for m in config.members] == [
        ("list", "starter", "spans.v1", "marked.v1"),
        ("typed", "starter", "typed.v1", "asked.v1"),
        ("bare", "starter", "spans.v1", "marked.v1"),
    ]
    assert [config.demonstrations_of(m) for m in config.members] == [5, 5, 0]
    assert config.run.quorum == 2
    assert parse("").model_dump() == config.model_dump()


def test_fast_is_one_member_in_one_pass() -> None:
    config = ProjectConfig.default(environment={})
    fast = config.fast()
    assert [(m.name, m.extract) for m in fast.members] == [("typed", "typed.v1")]
    assert (fast.run.quorum, fast.steps.classify, fast.steps.verify) == (1, False, "off")
    assert (fast.demonstrations.retriever, fast.demonstrations.k) == ("fixed", config.demonstrations.k)
    assert fast.fast() == fast
    assert fast.hash != config.hash


def test_the_profile_fast_is_what_the_option_does() -> None:
    path = Path(__file__).parents[2] / "examples" / "profiles" / "fast.toml"
    written = ProjectConfig.load(path, environment={})
    assert written.hash == ProjectConfig.default(environment={}).fast().hash
    assert written.run.quorum == 1


def test_fast_without_a_member_that_names_types_is_the_first_with_another_prompt() -> None:
    fast = ProjectConfig.default(environment={}).with_members(["list", "bare"]).fast()
    assert [(m.name, m.extract) for m in fast.members] == [("list", "typed.v1")]
    apart = parse('[[members]]\nname = "a"\nextract = "typed.v1"\nsteps = ["classify"]\n[[members]]\nname = "b"\n')
    assert [(m.name, m.extract) for m in apart.fast().members] == [("b", "typed.v1")]


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[run]\nbatch = 64\nin_fligth = 2\n", 3, "'run.in_fligth' is not a known key", "did you mean 'in_flight'?"),
        ("\n\n[rum]\nbatch = 1\n", 3, "'rum' is not a known key", "did you mean 'run'?"),
        ("[run]\nbatch = true\n", 2, "run.batch = True is not allowed", "valid integer"),
        ('[demonstrations]\nk = "5"\n', 2, "demonstrations.k = '5' is not allowed", "valid integer"),
        ("[run]\nthreshold = 1.5\n", 2, "run.threshold = 1.5", "less than or equal to 1"),
        ("[run]\nthreshold = nan\n", 2, "run.threshold", ""),
        (
            '[[members]]\nname = "a"\n\n[[members]]\nname = "b"\nweight = 0\n',
            6,
            "members.1.weight = 0",
            "greater than 0",
        ),
        ('[[members]]\nname = "a"\n[[members]]\nmodel = "starter"\n', 3, "'members.1.name' is missing", "add it"),
        ('[[members]]\nname = "a"\n[[members]]\nname = "a"\n', 4, "member 'a' occurs twice", "unique"),
        (
            'members = [\n {name = "a"},\n \n {name = "b", x = 1}]\n',
            4,
            "'members.1.x' is not a known key",
            "known here",
        ),
        ("[run]\nquorum = 4\n", 2, "a quorum of 4 cannot be met by 3", "at most 3"),
        ('[steps]\nverifier = "nobody"\n', 2, "the verifier 'nobody' is no member", "list, typed, bare"),
        ("[steps]\nverify_band = [\n 0.9,\n 0.1,\n]\n", 2, "the first probability is above the second", "[0.15, 0.85]"),
        ("[steps]\nverify_band = [\n 0.1,\n 1.1,\n]\n", 4, "steps.verify_band.1 = 1.1", "less than or equal to 1"),
        ('steps.verify = "sometimes"\n', 1, "steps.verify = 'sometimes'", "'off', 'selective' or 'on'"),
        ("[passages]\nmax_tokens = 64\noverlap_tokens = 64\n", 3, "overlap_tokens must be smaller", ""),
        ('[models.big]\nengine = "tensorrt"\n', 2, "models.big.engine = 'tensorrt'", "'vllm-server'"),
        ('[[members]]\nname = "a"\nextract = "spam.v1"\n', 3, "there is no prompt extract/spam.v1", "extract/spans.v1"),
        ('[[members]]\nname = "a b"\n', 2, "members.0.name = 'a b'", "match pattern"),
        ('prompts = "nowhere"\n', 1, "is no folder", "remove the key"),
    ],
)
def test_an_error_names_file_line_and_remedy(text: str, line: int, message: str, hint: str) -> None:
    error = fault(text)
    assert error.message.startswith(f"{FILE}:{line}: ")
    assert message in error.message
    assert hint in error.hint
    assert "\n" not in error.message + error.hint


def test_several_faults_are_counted() -> None:
    assert "1 more fault(s)" in fault("[run]\nbatch = 0\nin_flight = 0\n").hint


def test_no_toml_is_told_with_its_place() -> None:
    error = fault("[run\nbatch = 1")
    assert str(FILE) in error.message
    assert "line 1" in error.message


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        ProjectConfig.load(tmp_path)
    assert "quorum init" in caught.value.hint


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "quorum.toml").write_bytes(b'[project]\nname = "\xff"\n')
    with pytest.raises(ConfigError, match="cannot be read"):
        ProjectConfig.load(tmp_path)


def test_one_member_is_its_own_quorum_unless_told_otherwise() -> None:
    assert parse('[[members]]\nname = "a"\n').run.quorum == 1
    assert "cannot be met" in fault('[[members]]\nname = "a"\n[run]\nquorum = 2\n').message


def test_members_can_be_picked() -> None:
    config = parse('[steps]\nverifier = "typed"\n')
    kept = config.with_members(["typed", "list", "typed"])
    assert [m.name for m in kept.members] == ["typed", "list"]
    assert kept.steps.verifier == "typed"
    assert kept.root == FILE.parent
    assert config.with_members(["bare"]).steps.verifier is None
    with pytest.raises(ConfigError, match="no member 'x'"):
        config.with_members(["x"])
    with pytest.raises(ConfigError, match="no member is left"):
        config.with_members([])


def test_a_member_names_a_model_or_a_source() -> None:
    config = parse(
        '[models.big]\nsource = "org/name"\n[[members]]\nname = "a"\nmodel = "big"\n[[members]]\nname = "b"\n'
    )
    assert [config.model_of(m).source for m in config.members] == ["org/name", "starter"]


def test_environment_goes_before_the_file() -> None:
    environment = {
        "QUORUM_RUN__BATCH": "8",
        "QUORUM_STEPS__VERIFY_BAND": "[0.3, 0.7]",
        "quorum_steps__verify": "off",
        "QUORUM_CACHE": "/somewhere",
        "QUORUM_TEST_VLLM_URL": "x",
    }
    config = parse("[run]\nbatch = 16\nseed = 5\n", environment)
    assert (config.run.batch, config.run.seed, config.run.in_flight) == (8, 5, 4)
    assert (config.steps.verify_band, config.steps.verify) == ((0.3, 0.7), "off")
    assert config.root == FILE.parent


def test_environment_replaces_members_and_adds_models() -> None:
    members = json.dumps([{"name": "a", "model": "m"}])
    config = parse("[run]\nbatch = 16\n", {"QUORUM_MEMBERS": members, "QUORUM_MODELS__M__SOURCE": "org/x"})
    assert config.members == (MemberConfig(name="a", model="m"),)
    assert config.model_of(config.members[0]) == ModelConfig(source="org/x")
    assert config.run.quorum == 1


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("QUORUM_RUN__BATCH", "many", "environment variable QUORUM_RUN__BATCH: run.batch = 'many'"),
        ("QUORUM_RUN__BATHC", "3", "environment variable QUORUM_RUN__BATHC: 'run.bathc' is not a known key"),
        ("QUORUM_STEPS__VERIFY_BAND", "0.3", "steps.verify_band"),
        ("QUORUM_STEPS__VERIFY_BAND", "[0.3", "not JSON"),
        ("QUORUM_RUN", "{", "not JSON"),
    ],
)
def test_a_wrong_override_names_its_variable(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ProjectConfig.default(environment={variable: value})
    assert message in caught.value.message
    assert variable in caught.value.message


def test_hash_follows_what_changes_results_only() -> None:
    base = parse("")
    for same in ("[run]\nbatch = 1\nin_flight = 1\ncache = 'off'\n", "[project]\nname = 'x'\n", "[models.unused]\n"):
        assert parse(same).hash == base.hash
    texts = [
        "[run]\nthreshold = 0.6\n",
        "[run]\nseed = 1\n",
        "[run]\nquorum = 1\n",
        "[steps]\nverify = 'on'\n",
        "[steps]\ncalibrate = false\n",
        "[demonstrations]\nk = 3\n",
        "[demonstrations]\nretriever = 'random'\n",
        "[passages]\nmax_tokens = 64\n",
        "[[members]]\nname = 'list'\n[[members]]\nname = 'typed'\n",
        "[models.starter]\nadapter = 'a'\n",
    ]
    assert len({base.hash, *(parse(text).hash for text in texts)}) == len(texts) + 1


def test_hash_follows_the_content_of_a_project_prompt(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "extract"
    folder.mkdir(parents=True)
    body = "---\nid: mine\nstep: extract\nversion: 1\nanswer: spans\nchanged: First.\n---\n"
    blocks = "{% block system %}s{% endblock %}{% block user %}WORDS {{ passage }}{% endblock %}\n"
    text = 'prompts = "own"\n[[members]]\nname = "a"\nextract = "mine.v1"\n'
    (tmp_path / "quorum.toml").write_text(text, encoding="utf-8")
    hashes = set()
    for words in ("List.", "Find."):
        (folder / "mine.v1.md").write_text(body + blocks.replace("WORDS", words), encoding="utf-8")
        from prompts.loader import load

        load.cache_clear()
        hashes.add(ProjectConfig.load(tmp_path, environment={}).hash)
    assert len(hashes) == 2


def test_template_says_the_defaults_and_nothing_else(tmp_path: Path) -> None:
    write_template(tmp_path / "proj", LabelSet.of("person", "place name"))
    config = ProjectConfig.load(tmp_path / "proj", environment={})
    assert config.project.name == "proj"
    assert config.label_set().names == ("person", "place name")
    default = ProjectConfig.default(environment={}).model_dump()
    assert config.model_dump(exclude={"project"}) == {k: v for k, v in default.items() if k != "project"}


def test_template_uncommented_is_still_the_defaults() -> None:
    lines = []
    for line in project_toml("quorum").splitlines():
        bare = line.removeprefix("# ")
        is_setting = bare.startswith("[[members]]") or (" = " in bare and bare.split(" = ")[0].isidentifier())
        lines.append(bare if is_setting and "unset" not in bare and "Qwen" not in bare else line)
    uncommented = parse("\n".join(lines))
    assert "weight" not in "\n".join(lines)
    assert uncommented.model_dump() == ProjectConfig.default(environment={}).model_dump()
    assert uncommented.model_fields_set >= {"project", "members", "steps", "demonstrations", "passages", "run"}


def test_template_never_overwrites(tmp_path: Path) -> None:
    write_template(tmp_path, LabelSet.of("a"))
    with pytest.raises(ConfigError, match="exists already"):
        write_template(tmp_path, LabelSet.of("b"))
    assert read_label_set(tmp_path / "labels.toml").names == ("a",)


def test_effective_toml_reads_back() -> None:
    text = '[models."a.b"]\nsource = "x/y"\n[[members]]\nname = "m"\nmodel = "a.b"\ndemonstrations = 2\nweight = 0.1\n'
    config = parse(text)
    assert parse(effective_toml(config)).model_dump() == config.model_dump()


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), max_size=4))
def test_any_text_survives_as_toml(values: list[str]) -> None:
    assert tomllib.loads(f"x = {toml_value(values)}")["x"] == values


def test_label_sets_survive_as_toml(tmp_path: Path) -> None:
    labels = LabelSet(
        (
            Label("a b", 'says "so"\\', ("x\ty",), ("z",), "1", "", ("é", "名")),
            Label("c", parent="a b", hotkey="2"),
        )
    )
    path = tmp_path / "labels.toml"
    path.write_text(labels_toml(labels), encoding="utf-8")
    assert read_label_set(path) == labels


def test_schema_describes_every_key_and_is_published() -> None:
    schema = ProjectConfig.json_schema()
    published = json.loads((Path(__file__).parents[2] / "docs" / "quorum.schema.json").read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(schema)), "run make docs"
    for name, section in schema["$defs"].items():
        for key, value in section["properties"].items():
            assert value.get("description"), f"{name}.{key} has no description"
        assert section["additionalProperties"] is False


def test_configuration_page_is_current() -> None:
    from agent.configtemplate import reference_markdown

    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert reference_markdown() in page, "run make docs"


def test_sections_can_be_given_in_code() -> None:
    config = ProjectConfig.default(root="x", environment={}, run=RunConfig(batch=3), steps=StepsConfig(verify="off"))
    assert (config.run.batch, config.steps.verify, config.store_path) == (3, "off", Path("x/.quorum/store.db"))
    with pytest.raises(ConfigError, match="run"):
        ProjectConfig.default(environment={}, run={"batch": 0})


def test_keys_in_the_template_and_read_back() -> None:
    template = project_toml("quorum").splitlines()
    begin = template.index("#   [keys]")
    config = parse("\n".join(line.removeprefix("#   ") for line in template[begin:]))
    assert config.keys["preset"] == "vim" and "on" in config.keys
    assert parse(effective_toml(config)).keys == config.keys


@pytest.mark.parametrize("text", ["[keys]\naccept = 3\n", "[keys.on]\nrun = 3\n", "[keys.on.run]\nopen = 3\n"])
def test_a_key_that_is_none_is_told_as_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"keys\..* is no key"):
        parse(text)
