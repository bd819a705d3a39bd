"""The registry: lazy lookup, and every way in which a plugin can be broken."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from dld_core import errors
from dld_core.cli.doctor_checks import health
from dld_core.plugins import registry
from dld_core.plugins.registry import Group

GOOD = """
from dld_core.interfaces import Spotter
class Good(Spotter):
    charset = "abc"
    def predict(self, images): return [[] for _ in images]
"""


class Site:
    """A folder on the import path in which fake distributions are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, dist: str, points: str, metadata: str = "", group: str = "test.backends") -> None:
        info = self.folder / f"{dist.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n{metadata}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{points}\n")

    def module(self, name: str, source: str) -> None:
        (self.folder / f"{name}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Site(tmp_path)


@pytest.fixture
def group() -> Group[object]:
    return Group("test.backends", "backend", "dld_core.interfaces:Spotter")


def install_good(site: Site, name: str = "good", module: str = "reg_good") -> None:
    site.module(module, GOOD)
    site.install("Good-Dist", f"{name} = {module}:Good")


def test_a_part_is_imported_on_first_use_only(site: Site, group: Group[object]) -> None:
    install_good(site, module="reg_lazy")
    assert group.names() == ["good"]
    assert [p.status for p in group.describe()] == ["unloaded"]
    assert "reg_lazy" not in sys.modules
    assert group.get("good").__name__ == "Good"
    assert "reg_lazy" in sys.modules
    assert group.get("good") is group.get("good")
    assert [p.status for p in group.describe()] == ["usable"]


def test_unknown_name_lists_the_sorted_names_and_the_nearest(site: Site, group: Group[object]) -> None:
    site.install("x", "zebra = a:b\nmaskrcnn = a:b\napple = a:b")
    with pytest.raises(errors.UnknownPartError) as caught:
        group.get("maskrcn")
    assert "Did you mean 'maskrcnn'?" in str(caught.value)
    assert "apple, maskrcnn, zebra" in str(caught.value)


def test_unknown_name_where_nothing_is_registered_says_so(group: Group[object]) -> None:
    with pytest.raises(errors.UnknownPartError, match=r"Registered: none .*'test.backends'"):
        group.get("maskrcnn")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("import reg_broken_sub.nothing", "No module named 'reg_broken_sub'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = ", "SyntaxError"),
        ("", "has no attribute 'Part'"),
        ("Part = 3", "must be a class that subclasses dld_core.interfaces.Spotter, and is of type int"),
        ("class Part: pass", "must subclass dld_core.interfaces.Spotter"),
        (
            "from dld_core.interfaces import Spotter\nclass Part(Spotter): pass",
            "leaves abstract methods unwritten: predict",
        ),
    ],
)
def test_a_broken_part_is_named_with_its_origin_and_hurts_nobody_else(
    site: Site, group: Group[object], source: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_good(site)
    site.install("bad-dist", "bad = reg_broken:Part")
    site.module("reg_broken", source)
    monkeypatch.delitem(sys.modules, "reg_broken", raising=False)
    expected = errors.MissingExtraError if "reg_broken_sub" in source else errors.BrokenPluginError
    with pytest.raises(expected) as caught:
        group.get("bad")
    message = str(caught.value)
    for part in ("bad-dist 1.2", "'bad'", "test.backends"):
        assert part in message
    if expected is errors.BrokenPluginError:
        assert told in message
        assert "reg_broken:Part" in message
    sys.modules.pop("reg_broken", None)
    assert group.get("good").__name__ == "Good"
    bad, good = group.describe(load=True)
    assert (bad.name, good.name) == ("bad", "good")
    assert bad.status in ("broken", "missing-extra")
    assert bad.reason
    assert good.status == "usable"


def test_the_cause_is_chained(site: Site, group: Group[object]) -> None:
    site.install("bad-dist", "bad = reg_cause:Part")
    site.module("reg_cause", "raise ValueError('boom')")
    with pytest.raises(errors.BrokenPluginError) as caught:
        group.get("bad")
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_absent_target_module_is_broken_not_a_missing_extra(site: Site, group: Group[object]) -> None:
    site.install("bad-dist", "bad = reg_not_there:Part")
    assert [p.status for p in group.describe()] == ["broken"]
    with pytest.raises(errors.BrokenPluginError, match="reg_not_there"):
        group.get("bad")


def test_missing_dependency_of_an_extra_gives_the_exact_install_line(
    site: Site, group: Group[object]
) -> None:
    site.module("reg_extra", "import reg_absent_engine")
    site.install(
        "Some-Dist",
        "part = reg_extra:Part",
        'Provides-Extra: fancy\nRequires-Dist: reg-absent-engine>=2 ; extra == "fancy"',
    )
    with pytest.raises(errors.MissingExtraError) as caught:
        group.get("part")
    assert '`pip install "Some-Dist[fancy]"`' in str(caught.value)
    assert "'reg_absent_engine'" in str(caught.value)


def test_missing_dependency_outside_the_metadata_names_module_and_distribution(
    site: Site, group: Group[object]
) -> None:
    site.module("reg_undeclared", "import reg_absent_engine")
    site.install("Some-Dist", "part = reg_undeclared:Part")
    with pytest.raises(errors.MissingExtraError) as caught:
        group.get("part")
    assert "'reg_absent_engine'" in str(caught.value)
    assert "Some-Dist" in str(caught.value)


def test_a_part_may_ask_for_its_extra_itself(site: Site, group: Group[object]) -> None:
    site.module(
        "reg_asks", "from dld_core.errors import MissingExtraError\nraise MissingExtraError('pip install it')"
    )
    site.install("Some-Dist", "part = reg_asks:Part")
    with pytest.raises(errors.MissingExtraError, match=r"^pip install it$"):
        group.get("part")


def test_static_description_finds_absent_requirements_without_importing(
    site: Site, group: Group[object]
) -> None:
    site.module("reg_static", "raise SystemExit('imported')")
    site.install(
        "Some-Dist",
        "fancy = reg_static:Part\nplain = reg_static:Part",
        'Requires-Dist: pluggy\nRequires-Dist: reg-absent ; extra == "fancy"\n'
        'Requires-Dist: reg-absent-2 ; python_version < "3"',
    )
    fancy, plain = group.describe()
    assert (fancy.status, plain.status) == ("missing-extra", "unloaded")
    assert '`pip install "Some-Dist[fancy]"`' in fancy.reason


@pytest.mark.parametrize(("requires", "module"), [("opencv-python", "cv2"), ("onnxruntime", "onnxruntime")])
def test_another_build_of_a_requirement_will_do(
    site: Site, group: Group[object], monkeypatch: pytest.MonkeyPatch, requires: str, module: str
) -> None:
    real = importlib.metadata.distribution

    def without(name: str) -> importlib.metadata.Distribution:
        if name == requires:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    site.module("reg_builds", "raise SystemExit('imported')")
    site.install("Some-Dist", "part = reg_builds:Part", f"Requires-Dist: {requires}>=1.0")
    monkeypatch.setattr(importlib.metadata, "distribution", without)
    site.module(module, "")
    assert group.describe()[0].status == "unloaded"
    assert health._requirement(requires, "1.0").state == health._optional(requires, "onnx").state == "ok"
    monkeypatch.setattr("dld_core.plugins.entrypoints.is_importable", lambda package: package == "reg_builds")
    assert group.describe()[0].status == "missing-extra"
    assert health._requirement(requires, "1.0").state == "fault"


def test_two_distributions_with_one_name_are_an_error_naming_both(site: Site, group: Group[object]) -> None:
    install_good(site)
    site.install("first", "same = reg_good:Good")
    site.install("second", "same = reg_good:Good")
    with pytest.raises(errors.DuplicatePartError) as caught:
        group.get("same")
    assert "first 1.2" in str(caught.value)
    assert "second 1.2" in str(caught.value)
    assert group.get("good").__name__ == "Good"
    assert [(p.name, p.status) for p in group.describe()] == [
        ("good", "usable"),
        ("same", "broken"),
        ("same", "broken"),
    ]


def test_one_distribution_found_twice_is_no_duplicate(
    site: Site, group: Group[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_good(site)
    other = Site(tmp_path / "elsewhere")
    other.install("good.dist", "good = reg_good:Good")
    monkeypatch.syspath_prepend(str(other.folder))
    assert group.get("good").__name__ == "Good"
    assert len(group.entries()) == 1


def test_a_damaged_distribution_hides_no_other(site: Site, group: Group[object]) -> None:
    install_good(site)
    site.install("damaged", "= = [\x00 test.backends")
    site.install("half-removed", "other = reg_good:Good")
    (site.folder / "half_removed-1.2.dist-info" / "METADATA").unlink()
    (site.folder / "binary-1.2.dist-info").mkdir()
    (site.folder / "binary-1.2.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe test.backends")
    assert group.names() == ["good"]


def test_register_offers_a_class_for_this_process_and_never_overrides(
    site: Site, group: Group[object]
) -> None:
    install_good(site)
    good = group.get("good")
    group.register("mine", good)
    assert group.get("mine") is good
    assert [p.distribution for p in group.describe() if p.name == "mine"] == ["this process"]
    for name in ("mine", "good"):
        with pytest.raises(errors.DuplicatePartError, match="this process"):
            group.register(name, good)
    group.unregister("mine")
    assert group.names() == ["good"]


def test_refresh_sees_what_was_installed_meanwhile(site: Site, group: Group[object]) -> None:
    assert group.names() == []
    install_good(site)
    assert group.names() == []
    group.refresh()
    assert group.names() == ["good"]


def test_first_party_parts_come_through_entry_points_too() -> None:
    (info,) = [p for p in registry.backends.describe() if p.name == "maskrcnn"]
    assert (info.group, info.distribution) == ("dld.backends", "dld")
    assert {g.group for g in registry.GROUPS} == {"dld.backends", "dld.selectors", "dld.distillers"}


def test_locate_finds_the_group_of_a_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    install_good(site)
    first, second = (
        Group[object]("test.backends", "backend", "dld_core.interfaces:Spotter") for _ in range(2)
    )
    second.group = "test.others"
    monkeypatch.setattr(registry, "GROUPS", (first, second))
    assert registry.locate("good") is first
    assert registry.locate("good", "test.backends") is first
    second.register("good", "somewhere:Else")
    with pytest.raises(errors.ConfigError, match=r"test\.backends and test\.others"):
        registry.locate("good")
    with pytest.raises(errors.ConfigError, match=r"choose one of test\.backends, test\.others"):
        registry.locate("good", "test.nothing")
    with pytest.raises(errors.UnknownPartError, match="good"):
        registry.locate("goood")
