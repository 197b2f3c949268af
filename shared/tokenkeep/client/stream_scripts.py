"""What a consumer does in Redis, each in one atomic step.

Every script begins by asking whether the consumer may still act: in order, by the group's lease, which one consumer has at a
time; out of order, for as long as nobody has that lease. One that was stopped for longer than its lease lasts is told no by
Redis itself, whatever it believes.

    KEYS  stream, lease, records, alive, dead letters
    ARGV  mode (`ordered` | `shared`), consumer, time to live in ms, group, then the script's own

Redis 6.2 or newer, or Valkey. The keys of one group must be on one server, as tokenkeep's own.
"""

from dataclasses import dataclass
from hashlib import sha1

MOST_DEAD = 10_000
_SILENT_MS = 3_600_000
"""A consumer that has nothing and was silent for so long is forgotten by others."""
_LIVELY_MS = 60_000

_PRELUDE = """
local stream, lease, records, alive, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local ordered, me, ttl, group = ARGV[1] == 'ordered', ARGV[2], ARGV[3], ARGV[4]
local function holds()
  if ordered then
    if redis.call('GET', lease) ~= me then return false end
    redis.call('PEXPIRE', lease, ttl)
  else
    if redis.call('EXISTS', lease) == 1 then return false end
    redis.call('SET', alive, me, 'PX', ttl)
  end
  return true
end
local function is_there(id) return #redis.call('XRANGE', stream, id, id) > 0 end
-- Whether the entry is still this consumer's. One that was trimmed away is everybody's.
local function mine(id)
  if ordered then return true end
  local pending = redis.call('XPENDING', stream, group, id, id, 1)
  if pending[1] then return pending[1][2] == me end
  return not is_there(id)
end
local function finish(id)
  redis.call('XACK', stream, group, id)
  redis.call('HDEL', records, id)
end
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Take over pending entries without counting that as a try; what was trimmed away is given up.
local function claim(pending, found)
  local gone = 0
  for _, one in ipairs(pending) do
    local id, starts = one[1], one[4]
    local entry = redis.call('XRANGE', stream, id, id)
    if entry[1] then
      redis.call('XCLAIM', stream, group, me, 0, id, 'JUSTID')
      found[#found + 1] = {id, starts, redis.call('HGET', records, id) or '', entry[1][2]}
    else
      finish(id)
      gone = gone + 1
    end
  end
  return gone
end
"""

# 1: the consumer may act. In order, that is to have the lease.
_HOLD = """
if ordered then
  local holder = redis.call('GET', lease)
  if holder and holder ~= me then return 0 end
  redis.call('SET', lease, me, 'PX', ttl)
  return 1
end
return holds() and 1 or 0
"""

_RENEW = "return holds() and 1 or 0"

# ARGV: the last entry that is known, or '-'; how many. What is pending behind that comes first (in order: whoever had it), then
# what is new. So a reply that was lost is had again. New entries count as not tried: reading ahead is no try.
_TAKE = """
if not holds() then return false end
local after, count = ARGV[5], tonumber(ARGV[6])
local found, last = {}, ''
local from = after == '-' and '-' or '(' .. after
local pending = ordered and redis.call('XPENDING', stream, group, from, '+', count)
  or redis.call('XPENDING', stream, group, from, '+', count, me)
local gone = claim(pending, found)
if #pending > 0 then last = pending[#pending][1] end
if #pending < count then
  local new = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', count - #pending, 'STREAMS', stream, '>')
  for _, entry in ipairs(new and new[1][2] or {}) do
    redis.call('XCLAIM', stream, group, me, 0, entry[1], 'RETRYCOUNT', 0, 'JUSTID')
    found[#found + 1] = {entry[1], 0, '', entry[2]}
    last = entry[1]
  end
end
local delivered = ''
if #found == 0 then
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local about = {}
    for i = 1, #fields, 2 do about[fields[i]] = fields[i + 1] end
    if about['name'] == group then delivered = about['last-delivered-id'] end
  end
end
return {now_ms(), last, delivered, gone, found}
"""

# ARGV: the entry that is tried next, or ''; its count of starts; entries that are dealt with. 0: the consumer may not act any
# more; 2: the next entry has become another's.
_STEP = """
if not holds() then return 0 end
local start = ARGV[5]
for i = 7, #ARGV do
  if mine(ARGV[i]) then finish(ARGV[i]) end
end
if start ~= '' then
  if not mine(start) then return 2 end
  redis.call('XCLAIM', stream, group, me, 0, start, 'RETRYCOUNT', ARGV[6], 'JUSTID')
end
return 1
"""

# ARGV: the entry, its failures, its ends, the wait in ms.
_NOTE = """
if not holds() then return 0 end
if not mine(ARGV[5]) then return 2 end
redis.call('HSET', records, ARGV[5], string.format('%s %s %.0f', ARGV[6], ARGV[7], now_ms() + ARGV[8]))
return 1
"""

# ARGV: the entry, the reason, the starts, how many letters are kept; then the fields of the entry.
_BURY = """
if not holds() then return 0 end
if not mine(ARGV[5]) then return 2 end
local letter = {}
for i = 9, #ARGV do letter[#letter + 1] = ARGV[i] end
for _, word in ipairs({'reason', ARGV[6], 'tries', ARGV[7], 'entry', ARGV[5]}) do letter[#letter + 1] = word end
redis.call('XADD', dead, 'MAXLEN', '~', ARGV[8], '*', unpack(letter))
finish(ARGV[5])
return 1
"""

# ARGV: how many, the prefix of the keys by which consumers show that they live, how long others must have been idle, how long
# forgotten ones were silent. Takes over what dead consumers had (out of order; in order, taking the lease does), and
# forgets consumers that have nothing: one that is deleted takes along what it has not acknowledged.
_RESCUE = """
if not holds() then return false end
local count, prefix = tonumber(ARGV[5]), ARGV[6]
local found, gone = {}, 0
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local about = {}
  for i = 1, #fields, 2 do about[fields[i]] = fields[i + 1] end
  local name = about['name']
  if name ~= me and about['pending'] == 0 then
    if about['idle'] > tonumber(ARGV[8]) then redis.call('XGROUP', 'DELCONSUMER', stream, group, name) end
  elseif name ~= me and not ordered and #found < count and redis.call('EXISTS', prefix .. name) == 0 then
    local pending = redis.call('XPENDING', stream, group, 'IDLE', ARGV[7], '-', '+', count - #found, name)
    gone = gone + claim(pending, found)
  end
end
return {now_ms(), '', '', gone, found}
"""

# A consumer that has nothing is forgotten, if another one shows that the group lives: a group without consumers is not waited for.
_LEAVE = """
if redis.call('GET', lease) == me then redis.call('DEL', lease) end
redis.call('DEL', alive)
local has, another = false, false
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local about = {}
  for i = 1, #fields, 2 do about[fields[i]] = fields[i + 1] end
  if about['name'] == me then
    has = about['pending'] > 0
  elseif about['idle'] < tonumber(ARGV[5]) then
    another = true
  end
end
if another and not has then redis.call('XGROUP', 'DELCONSUMER', stream, group, me) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name by which Redis knows it once it has run."""

    text: str
    sha: str

    @classmethod
    def of(cls, body: str) -> "Script":
        """The script with this body."""
        text = _PRELUDE + body
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


HOLD = Script.of(_HOLD)
RENEW = Script.of(_RENEW)
TAKE = Script.of(_TAKE)
STEP = Script.of(_STEP)
NOTE = Script.of(_NOTE)
BURY = Script.of(_BURY)
RESCUE = Script.of(_RESCUE)
LEAVE = Script.of(_LEAVE)
SILENT_MS = _SILENT_MS
LIVELY_MS = _LIVELY_MS
