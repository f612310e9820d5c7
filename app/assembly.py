"""The default parts and how they fit together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app import __version__
from app.cloud.delivery import Delivery
from app.cloud.permission_file import PermissionFile
from app.cloud.providers import ProviderManager
from app.cloud.sessions import SessionManager
from app.config import CODE_DIR, Settings
from app.core import texts, texts_taint
from app.core.approvals import Approvals
from app.core.asking import Asking
from app.core.commands import Commands
from app.core.context import AgentContext
from app.core.contexts import Contexts
from app.core.contracts import Brain, Channel, SessionStore
from app.core.errors import ConfigError, FetchError
from app.core.gates import (
    Gate,
    announced,
    build_handler,
    not_repeated,
    possible,
    rate_limited,
    timed,
    traced,
    within_role,
)
from app.core.inbox import Inbox
from app.core.live import LiveHub
from app.core.loop import AgentLoop
from app.core.machine import Machine, ToolLimits
from app.core.outside import watched
from app.core.pace import Pace
from app.core.parts import Parts
from app.core.permissions import Permissions
from app.core.permissions_command import PermissionsCommand
from app.core.redacted import RedactedSink
from app.core.roles import People, Role, person_of
from app.core.status import MissingItem, StatusReport
from app.core.taint import must_ask
from app.core.toolkit import Toolbox
from app.core.tools import ALL_TOOLS
from app.core.turns import TurnRunner
from app.core.undo import Undo, checkpointed
from app.core.undo_policy import WithoutPoint
from app.folders import guest_folders, prepare_folders
from app.safety.answers import Redaction
from app.safety.bounds import Bounds
from app.safety.checkpoints import ShadowCheckpoints
from app.safety.clones import CloneNotes
from app.safety.fetch import WebFetcher
from app.safety.git_identity import git_environment
from app.safety.leaks import UrlGuard
from app.safety.network import FilteredNetwork
from app.safety.sandbox import Confinement, ProcessSandbox
from app.safety.surroundings import MEMORY_FILES, LocalSurroundings
from app.safety.workspace import Workspace

_GRACE_SECONDS = 30.0  # a tool's own time limit speaks first


def build_machine(settings: Settings, redactor: Redaction | None = None) -> Machine:
    """Raises ConfigError when a folder cannot be made, DATA_DIR not written, or NETWORK_HOSTS not allowed."""
    prepare_folders(settings)
    memory = [settings.workspace_dir / name for name in MEMORY_FILES]
    hidden = _hidden(settings)
    ceilings = [root.parent for root in settings.projects_dirs]  # git looks for no repository above a root
    limits = ToolLimits(settings.tool_seconds, settings.tool_output_chars, settings.tools_per_minute)
    redactor = redactor or Redaction(settings.secrets())
    return Machine(
        workspace=Workspace(settings.projects_dirs, hidden, memory, homes=[settings.data_dir / "home"]),
        sandbox=ProcessSandbox(
            settings.data_dir / "home",
            Confinement(settings.projects_dirs, hidden, settings.sandbox, settings.allow_unconfined_shell),
            timezone=settings.timezone,
            ceilings=ceilings,
            env=git_environment(),
        ),
        fetcher=WebFetcher(guard=UrlGuard(redactor)),
        redactor=redactor,
        limits=limits,
        network=_network(settings),
    )


def _network(settings: Settings) -> FilteredNetwork:
    try:
        return FilteredNetwork(settings.network_hosts)
    except FetchError as error:
        raise ConfigError(texts.bad_setting("NETWORK_HOSTS", "value_error", {"error": str(error)})) from None


def build_checkpoints(settings: Settings) -> ShadowCheckpoints:
    notes = [settings.workspace_dir / name for name in MEMORY_FILES]
    return _checkpoints(settings, "undo", Bounds(settings.projects_dirs, notes, _hidden(settings)), notes)


def guest_checkpoints(settings: Settings) -> dict[str, ShadowCheckpoints]:
    folders = guest_folders(settings)
    hidden = _hidden(settings)
    return {who: _checkpoints(settings, f"undo-{who}", Bounds([path], [], hidden), []) for who, path in folders.items()}


def _checkpoints(settings: Settings, name: str, bounds: Bounds, notes: list[Path]) -> ShadowCheckpoints:
    most = settings.undo_max_mb * 1_000_000
    return ShadowCheckpoints(settings.data_dir / name, bounds, notes, days=settings.undo_days, most_bytes=most)


def _hidden(settings: Settings) -> list[Path]:
    return [CODE_DIR, settings.data_dir, Path(".env")]


def clones_of(settings: Settings) -> CloneNotes:
    """A guest's files are somebody else's as well, should a root of the owner's reach them."""
    guests = dict.fromkeys(guest_folders(settings).values(), texts_taint.GUEST_FILES)
    return CloneNotes(settings.data_dir / "cloned.json", settings.projects_dirs, guests)


def people_of(settings: Settings) -> People:
    in_use = settings.telegram_token is not None
    return People(settings.owners, frozenset(settings.telegram_guests), strict=in_use)


def guest_machines(settings: Settings, machine: Machine) -> dict[str, Machine]:
    """The same machine, without network, and each sees only a folder of its own. Raises ConfigError for that folder."""
    folders = guest_folders(settings)
    hidden = _hidden(settings)
    shared = replace(machine, network=None)
    return {guest: replace(shared, workspace=Workspace([path], hidden=hidden)) for guest, path in folders.items()}


def build_store(settings: Settings, hub: LiveHub, redactor: Redaction) -> SessionManager:
    days = settings.session_retention_days
    return SessionManager(settings.data_dir, sink=hub, retention_days=days, redact=redactor.redact)


def build_parts(
    settings: Settings, *, store: SessionStore | None = None, hub: LiveHub | None = None, brain: Brain | None = None,
    redactor: Redaction | None = None,
) -> Parts:  # fmt: skip
    """Without arguments: what AgentLoop(settings) alone stands on. There nobody sees a question."""
    attended = hub is not None
    hub = hub or LiveHub()
    redactor = redactor or Redaction(settings.secrets())
    store = store or build_store(settings, hub, redactor)
    machine = build_machine(settings, redactor)
    contexts = Contexts(store)
    undo = Undo(build_checkpoints(settings), store, guest_checkpoints(settings))
    permissions = Permissions(PermissionFile(settings.data_dir / "permissions.json"))
    approvals = Approvals(store, contexts, settings.approval_minutes, permissions, attended=attended)
    return Parts(
        brain=brain or ProviderManager(settings),
        store=store,
        contexts=contexts,
        toolbox=Toolbox(ALL_TOOLS),
        handler=build_handler(_gates(settings, machine, approvals, undo, store, permissions)),
        machine=machine,
        approvals=approvals,
        surroundings=LocalSurroundings(settings.workspace_dir, settings.projects_dirs, machine.sandbox.shell_name),
        sink=RedactedSink(hub, redactor),
        undo=undo,
        people=people_of(settings),
        guests=guest_machines(settings, machine),
        permissions=permissions,
    )


def _gates(
    settings: Settings,
    machine: Machine,
    approvals: Approvals,
    undo: Undo,
    store: SessionStore,
    permissions: Permissions,
) -> tuple[Gate, ...]:
    """From the outermost in."""
    return (
        traced,
        within_role,
        not_repeated,
        possible(machine),
        Asking(approvals, settings.approvals, machine, permissions, must_ask).gate,
        rate_limited(settings.tools_per_minute, settings.guest_tools_per_minute),
        checkpointed(undo, WithoutPoint(approvals, settings.approvals, store).ask),
        announced(store),
        watched(clones_of(settings)),
        timed(settings.tool_seconds + _GRACE_SECONDS),
    )


@dataclass(frozen=True)
class House:
    """Everything that one running Nanobot consists of, channels aside."""

    settings: Settings
    hub: LiveHub
    parts: Parts
    store: SessionManager
    loop: AgentLoop
    runner: TurnRunner
    commands: Commands
    inbox: Inbox
    delivery: Delivery
    reporter: Reporter


def build_house(settings: Settings, channels: Mapping[str, Channel], brain: Brain | None = None) -> House:
    hub = LiveHub()
    redactor = Redaction(settings.secrets())
    store = build_store(settings, hub, redactor)
    parts = build_parts(settings, store=store, hub=hub, brain=brain, redactor=redactor)
    loop = AgentLoop(settings, parts)
    pace = Pace(parts.people, settings.messages_per_minute, settings.guest_messages_per_minute)
    runner = TurnRunner(loop, store, parts.contexts, parts.approvals, hub, pace)
    reporter = Reporter(settings, parts, runner)
    commands = Commands(store, parts.contexts, store.chats, runner, parts.surroundings, reporter.chat_text)
    commands.add("deshacer", parts.undo.command)
    commands.add("permisos", PermissionsCommand(parts.permissions).answer)
    commands.on_forget = parts.undo.forget
    runner.first = commands.run_in_lane
    inbox = Inbox(store, store.chats, runner, commands, parts.approvals, parts.people)
    delivery = Delivery(store, parts.contexts, channels)
    hub.listen(delivery.on_event)
    return House(settings, hub, parts, store, loop, runner, commands, inbox, delivery, reporter)


class Reporter:
    """`telegram` is set by whoever runs the poller."""

    def __init__(self, settings: Settings, parts: Parts, runner: TurnRunner) -> None:
        self._settings = settings
        self._parts = parts
        self._runner = runner
        self._began = time.monotonic()
        self.telegram: Callable[[], tuple[str, bool]] = lambda: (texts.TELEGRAM_OFF, False)

    async def report(self) -> StatusReport:
        telegram, ready = self.telegram()
        redact = self._parts.machine.redactor.redact
        return StatusReport(
            version=__version__,
            uptime_seconds=time.monotonic() - self._began,
            routes=[replace(r, reason=redact(r.reason)) for r in self._parts.brain.routes()],
            telegram=telegram,
            telegram_ok=ready,
            spent_today_usd=self._parts.brain.ledger.today(),
            daily_budget_usd=self._settings.daily_budget_usd,
            sandbox=self._parts.machine.sandbox.description,
            open_work=len(self._runner.lanes.busy),
            missing=self._missing(),
        )

    async def chat_text(self, ctx: AgentContext) -> str:
        if self._parts.people.role_in(ctx.session_id, ()) is Role.OWNER:
            return texts.status_text(await self.report(), ctx.session_id, ctx.project)
        spent = self._parts.brain.ledger.today(person_of(ctx.session_id))
        return texts.guest_status(spent, self._settings.guest_daily_budget_usd)

    def _missing(self) -> list[MissingItem]:
        s = self._settings
        absent = {
            "GROQ_API_KEY": s.groq_api_key is None,
            "ANTHROPIC_API_KEY": s.anthropic_api_key is None,
            "TELEGRAM_TOKEN": s.telegram_token is None,
            "TELEGRAM_USER_ID": s.telegram_token is not None and not s.owners,
        }
        return [MissingItem(name, *texts.WHERE_TO_GET[name]) for name, is_absent in absent.items() if is_absent]
