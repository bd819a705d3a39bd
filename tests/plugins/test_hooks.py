"""Hook events: loading that never fails a run, calls that never kill it."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from dld_core import errors, hookimpl
from dld_core.plugins.hooks import Hooks

LISTENER = """
from dld_core import hookimpl
seen = []
@hookimpl
def dld_step_ended(step, metrics):
    seen.append((step, metrics["loss"]))
"""


class Recorder:
    """Listens to every event."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    @hookimpl
    def dld_run_configured(self, kind: str) -> None:
        self.seen.append(("run", kind))

    @hookimpl
    def dld_scale_chosen(self, scale: float, image: str) -> None:
        self.seen.append(("scale", (image, scale)))

    @hookimpl
    def dld_losses_computed(self, losses: dict[str, object]) -> None:
        self.seen.append(("losses", losses))

    @hookimpl
    def dld_step_ended(self, step: int) -> None:
        self.seen.append(("step", step))

    @hookimpl
    def dld_page_spotted(self, page: object) -> None:
        self.seen.append(("page", page))


@pytest.fixture
def hooks() -> Hooks:
    return Hooks(discover=False)


def test_every_event_reaches_a_listener_with_the_arguments_it_asks_for(hooks: Hooks) -> None:
    recorder = Recorder()
    hooks.register(recorder, "recorder")
    page = SimpleNamespace()
    hooks.run_configured(kind="train", config={})
    hooks.scale_chosen(image="a.jpg", scale=0.5, scores={0.5: 1.0})
    hooks.losses_computed(step=1, losses={})
    hooks.step_ended(step=1, metrics={})
    hooks.page_spotted(page)  # type: ignore[arg-type]
    assert recorder.seen == [
        ("run", "train"),
        ("scale", ("a.jpg", 0.5)),
        ("losses", {}),
        ("step", 1),
        ("page", page),
    ]


def test_nobody_listens_and_nothing_happens(hooks: Hooks) -> None:
    assert not hooks.listening("step_ended")
    hooks.step_ended(step=1, metrics={})
    assert hooks.plugins() == []


def test_listeners_run_in_the_order_of_registration(hooks: Hooks) -> None:
    order: list[str] = []

    def listener(name: str) -> object:
        return SimpleNamespace(dld_step_ended=hookimpl(lambda step: order.append(name)))

    for name in ("first", "second"):
        hooks.register(listener(name), name)
    hooks.step_ended(step=1, metrics={})
    # pluggy's order: last registered, first called
    assert order == ["second", "first"]


def test_a_hook_that_raises_is_named_once_and_the_others_still_hear(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad:
        @hookimpl
        def dld_step_ended(self, step: int) -> None:
            raise ValueError("boom")

    recorder = Recorder()
    hooks.register(recorder, "recorder")
    hooks.register(Bad(), "bad-plugin")
    with caplog.at_level(logging.WARNING):
        for step in (1, 2, 3):
            hooks.step_ended(step=step, metrics={})
    assert [s for _, s in recorder.seen] == [1, 2, 3]
    assert len(caplog.records) == 1
    assert "'bad-plugin'" in caplog.text
    assert "dld_step_ended" in caplog.text
    assert "ValueError: boom" in caplog.text


def test_strict_hooks_end_the_run(hooks: Hooks) -> None:
    def fail(step: int) -> None:
        raise ValueError("boom")

    hooks.register(SimpleNamespace(dld_step_ended=hookimpl(fail)), "bad-plugin")
    hooks.strict = True
    with pytest.raises(errors.BrokenPluginError, match="bad-plugin") as caught:
        hooks.step_ended(step=1, metrics={})
    assert isinstance(caught.value.__cause__, ValueError)


def test_load_takes_a_file_a_module_and_an_object(
    hooks: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hook_file.py"
    file.write_text(LISTENER)
    (tmp_path / "hook_module.py").write_text(LISTENER)
    (tmp_path / "hook_object.py").write_text(
        "from dld_core import hookimpl\nclass P:\n    @hookimpl\n    def dld_step_ended(self): pass"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for target in (str(file), "hook_module", "hook_object:P"):
        hooks.load(target)
        hooks.load(target)  # twice is once
    hooks.step_ended(step=7, metrics={"loss": 0.5})
    import hook_module  # type: ignore[import-not-found]

    assert hook_module.seen == [(7, 0.5)]
    assert hooks.plugins() == sorted([str(file), "hook_module", "hook_object:P"])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("x = ", "SyntaxError"),
        (
            "from dld_core import hookimpl\n@hookimpl\ndef dld_page_spoted(page): pass",
            "dld_page_spoted",
        ),
        ("from dld_core import hookimpl\n@hookimpl\ndef dld_step_ended(stepp): pass", "stepp"),
        (
            "from dld_core import hookimpl\n@hookimpl(wrapper=True)\ndef dld_step_ended(step): yield",
            "cannot be wrapped",
        ),
    ],
)
def test_a_broken_plugin_asked_for_by_name_is_an_error(
    hooks: Hooks, tmp_path: Path, source: str, told: str
) -> None:
    file = tmp_path / "broken_hook.py"
    file.write_text(source)
    with pytest.raises(errors.BrokenPluginError) as caught:
        hooks.load(str(file))
    assert told in str(caught.value)
    assert str(file) in str(caught.value)
    assert hooks.plugins() == []
    recorder = Recorder()
    hooks.register(recorder, "recorder")
    hooks.step_ended(step=1, metrics={})
    assert recorder.seen == [("step", 1)]


def test_absent_plugins_are_errors_that_say_where_to_look(hooks: Hooks, tmp_path: Path) -> None:
    with pytest.raises(errors.BrokenPluginError, match="check the path"):
        hooks.load(str(tmp_path / "nothing.py"))
    with pytest.raises(errors.BrokenPluginError, match="on the import path"):
        hooks.load("no_such_module_at_all")


def test_installed_and_environment_plugins_load_at_the_first_event_and_broken_ones_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "hooked-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hooked\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dld.hooks]\ngood = hook_installed\nbad = hook_broken\n")
    (tmp_path / "hook_installed.py").write_text(LISTENER)
    (tmp_path / "hook_broken.py").write_text("raise ValueError('boom')")
    (tmp_path / "hook_env.py").write_text(LISTENER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DLD_PLUGINS", os.pathsep.join(["hook_env", str(tmp_path / "absent.py")]))
    hooks = Hooks()
    with caplog.at_level(logging.WARNING):
        hooks.step_ended(step=3, metrics={"loss": 2.0})
        hooks.step_ended(step=4, metrics={"loss": 1.0})
    import hook_env  # type: ignore[import-not-found]
    import hook_installed  # type: ignore[import-not-found]

    assert hook_installed.seen == hook_env.seen == [(3, 2.0), (4, 1.0)]
    assert len(caplog.records) == 2
    assert "hooked 1.0" in caplog.text
    assert "absent.py" in caplog.text


def test_many_threads_register_and_call(hooks: Hooks) -> None:
    hits: list[int] = []
    hooks.register(SimpleNamespace(dld_step_ended=hookimpl(lambda step: hits.append(step))), "counter")

    def work(number: int) -> None:
        name = f"extra-{number}"
        hooks.register(SimpleNamespace(dld_page_spotted=hookimpl(lambda page: None)), name)
        for step in range(100):
            hooks.step_ended(step=step, metrics={})
        hooks.unregister(name)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hits) == 800
    assert hooks.plugins() == ["counter"]
