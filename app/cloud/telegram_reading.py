"""What a Telegram message says: where it belongs, whether it is for us, a command or words, and what goes with it."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping

from telegram import Message, MessageEntity, MessageOriginChannel, MessageOriginChat, MessageOriginUser
from telegram.constants import MessageOriginType

from app.core import texts, texts_taint
from app.core.events import ReplyTo
from app.core.foreign import framed, named

_QUOTED_CHARS = 500
_MOST_LINKS = 20


def chat_key(message: Message, guest: int | None = None) -> str:
    """telegram_<user> in private; a group has its own, and so has each topic of either.

    In a group each `guest` has one for himself: what owners do there is none of his business, nor his words theirs.
    """
    private = message.chat.type == "private"
    key = f"telegram_{message.chat_id}" if private else group_key(message.chat_id)
    key += f"-i{guest}" if guest is not None and not private else ""
    thread = _thread(message)
    return f"{key}-t{thread}" if thread else key


def group_key(chat_id: int) -> str:
    return f"telegram_g{abs(chat_id)}"


def place_of(message: Message) -> ReplyTo:
    return ReplyTo(
        channel="telegram",
        chat_id=message.chat_id,
        message_id=message.message_id,
        thread_id=_thread(message),
    )


def _thread(message: Message) -> int | None:
    return message.message_thread_id if message.is_topic_message else None


def is_addressed(message: Message, bot_id: int, username: str) -> bool:
    """In a group: a command, a mention of the bot, or a reply to it."""
    mine = f"@{username}".casefold()
    for entity, text in _entities(message).items():
        match entity.type:
            case MessageEntity.BOT_COMMAND if entity.offset == 0 and message.text is not None:
                _, at, name = text.partition("@")
                return not at or f"@{name}".casefold() == mine
            case MessageEntity.MENTION if text.casefold() == mine:
                return True
            case MessageEntity.TEXT_MENTION if entity.user is not None and entity.user.id == bot_id:
                return True
            case _:
                pass
    replied = message.reply_to_message
    if replied is None or replied.from_user is None or replied.forum_topic_created is not None:
        return False  # in a topic that we opened, every message replies to its opening
    return replied.from_user.id == bot_id


def sender_of(message: Message | None) -> int | None:
    """The person who wrote it, by number. None when that is nobody in particular: an anonymous admin, a channel, a bot.

    Telegram puts a stand-in into `from` then, which is no bot for posts that come from a linked channel.
    """
    if message is None or message.from_user is None or message.from_user.is_bot or message.sender_chat is not None:
        return None
    return message.from_user.id


def command_of(message: Message) -> tuple[str, str] | None:
    """(name, argument) when the text begins with what Telegram itself marks as a command: /etc/hosts is none."""
    text = message.text or ""
    for entity in message.entities:
        if entity.type == MessageEntity.BOT_COMMAND and entity.offset == 0:
            command, argument = text[: entity.length], text[entity.length :]  # ASCII: units are characters
            return command[1:].partition("@")[0].lower(), argument.strip()
    return None


def is_service(message: Message) -> bool:
    """Pinned, joined, renamed…: nobody said anything. What this library does not know counts as content."""
    return not (message.text or message.caption or message.effective_attachment or message.api_kwargs)


def model_text(message: Message, bot_id: int) -> str:
    """The words, below what Telegram shows around them: the quoted text, the origin, the attachment, the links.

    What somebody else has written is marked as such.
    """
    notes = [*_quoted(message, bot_id), *_forwarded(message), *_attached(message), *_linked(message)]
    words = message.text or message.caption or ""
    return "\n".join([*notes, framed(words, texts_taint.FORWARDED) if words and _is_anothers(message) else words])


def wording(message: Message, words: str) -> str:
    """A digest of what the sender himself can change: words, links, file. Nothing of what Telegram adds is in it."""
    links = [e.url or "" for e in _entities(message)]
    found = message.effective_attachment
    file = found[-1] if isinstance(found, tuple) and found else found
    parts = [words, *links, str(getattr(file, "file_unique_id", ""))]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _entities(message: Message) -> Mapping[MessageEntity, str]:
    if message.text is not None:
        return message.parse_entities()
    return message.parse_caption_entities() if message.caption is not None else {}


def _quoted(message: Message, bot_id: int) -> Iterator[str]:
    replied = message.reply_to_message
    text = message.quote.text if message.quote else (replied.text or replied.caption or "") if replied else ""
    if text:
        short = text[:_QUOTED_CHARS] + ("…" if len(text) > _QUOTED_CHARS else "")
        ours = replied is not None and _is_ours(replied, {bot_id, sender_of(message)})
        yield texts.note_reply(short if ours else framed(short, texts_taint.QUOTED))


def _is_ours(replied: Message, ours: Container[int | None]) -> bool:
    by = replied.from_user if replied.sender_chat is None and replied.forward_origin is None else None
    return by is not None and by.id in ours


def _is_anothers(message: Message) -> bool:
    origin = message.forward_origin
    own = isinstance(origin, MessageOriginUser) and origin.sender_user.id == sender_of(message)
    return origin is not None and not own


def _forwarded(message: Message) -> Iterator[str]:
    match message.forward_origin:
        case None:
            return
        case MessageOriginUser() as origin:
            yield texts.note_forwarded(named(origin.sender_user.full_name))
        case MessageOriginChat() as origin:
            yield texts.note_forwarded(named(origin.sender_chat.effective_name or ""))
        case MessageOriginChannel() as origin:
            yield texts.note_forwarded(named(origin.chat.effective_name or ""))
        case origin:
            hidden = origin.type == MessageOriginType.HIDDEN_USER
            yield texts.note_forwarded(named(getattr(origin, "sender_user_name", "")) if hidden else "")


def _attached(message: Message) -> Iterator[str]:
    if message.text is None and (found := message.effective_attachment):
        yield texts.note_attachment("photo" if isinstance(found, tuple) else type(found).__name__.lower())


def _linked(message: Message) -> Iterator[str]:
    """A link behind other words: the model would not see where it leads."""
    links = [(text, e.url) for e, text in _entities(message).items() if e.type == MessageEntity.TEXT_LINK and e.url]
    if links:
        yield texts.note_links(links[:_MOST_LINKS])
