/**
 * What the scripts share, in Lua 5.1. Each script is this text and its own.
 *
 * A script gets one key, the partition's stream, and makes the other names of it: all are in its slot (see `names.ts`).
 *
 * @module
 */

/** The shared functions. */
export const lib: string = `
local S = KEYS[1]
local P = string.sub(S, 1, -7)
local O = P .. 'ordered'
local call = redis.call

-- How long a lease is waited for: a renewal that its holder sends in time needs some time to get here.
local function patience(lease) return math.ceil(lease * 1.1) end

local function name(what, g) return P .. what .. ':' .. g end

local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The padded form of a stream id, which sorts as text.
local function pad(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.format('%016.0f-%020.0f', tonumber(ms), tonumber(seq))
end

-- When a token's message was stored, in milliseconds.
local function born(token) return tonumber(string.sub(token, 1, 16)) end

local function parse(text)
  local id, key, at, ordering = string.match(text, '^([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)\\n')
  return id or '', key or '', tonumber(at) or 0, ordering or ''
end

local function wake(g) call('XADD', name('wake', g), 'MAXLEN', 1, '*', 'w', 1) end

-- The text of a stream's entry; nothing when it is gone.
local function entry(stream, id)
  local found = call('XRANGE', stream, id, id)
  return found[1] and found[1][2][2]
end

local function put(g, token, attempts, text)
  call('HSET', name('store', g), token, attempts .. '\\n' .. text)
end

-- Attempts and text of a stored message; nothing when it is gone.
local function get(g, token)
  local record = call('HGET', name('store', g), token)
  if not record then return nil end
  local at = string.find(record, '\\n', 1, true)
  return tonumber(string.sub(record, 1, at - 1)), string.sub(record, at + 1)
end

-- Takes a message out of the group and hands its ordering key to the next. Tells whether that made one ready.
local function drop(g, token, text)
  call('HDEL', name('store', g), token)
  call('HDEL', name('holder', g), token)
  call('HDEL', name('error', g), token)
  call('ZREM', name('lease', g), token)
  call('ZREM', name('ready', g), token)
  call('ZREM', name('later', g), token)
  local _, _, _, ordering = parse(text)
  if ordering == '' then return false end
  local keys = name('keys', g)
  if call('HGET', keys, ordering) ~= token then return false end
  local queue = name('queue', g)
  local nextup = call('ZRANGEBYLEX', queue, '[' .. ordering .. '\\0', '(' .. ordering .. '\\1', 'LIMIT', 0, 1)[1]
  if not nextup then
    call('HDEL', keys, ordering)
    return false
  end
  call('ZREM', queue, nextup)
  local heir = string.sub(nextup, #ordering + 2)
  call('HSET', keys, ordering, heir)
  call('ZADD', name('ready', g), 0, heir)
  return true
end

local function bury(g, text, attempts, reason, err)
  local id = parse(text)
  local at = call('XADD', name('dead', g), '*', 'm', text, 'r', reason, 'e', err or '', 'a', attempts)
  call('ZADD', name('deadids', g), 0, id .. '\\n' .. pad(at))
end

-- AMQP topic patterns, as core/keys.ts has them.
local function words(s)
  local list = {}
  for word in string.gmatch(s, '[^.]+') do list[#list + 1] = word end
  return list
end

local function matches(filter, key)
  if filter == '#' or filter == key then return true end
  local p, w = words(filter), words(key)
  local at, i, hash, mark = 1, 1, 0, 0
  while i <= #w do
    if p[at] == '#' then
      hash, mark, at = at, i, at + 1
    elseif at <= #p and (p[at] == '*' or p[at] == w[i]) then
      at, i = at + 1, i + 1
    elseif hash > 0 then
      at, mark = hash + 1, mark + 1
      i = mark
    else
      return false
    end
  end
  while p[at] == '#' do at = at + 1 end
  return at == #p + 1
end

-- Out of memory, Redis refuses a script's first write when it may need memory, and none after it. What settles and trims must go on
-- then, as it is what frees memory; so it begins with a write that needs none: a field that is never there.
local function go_on(g) call('HDEL', name('holder', g), '') end

-- A reply of pairs, as a table.
local function pairs_of(list)
  local t = {}
  for i = 1, #list, 2 do t[list[i]] = list[i + 1] end
  return t
end

local function exists(g) return call('SISMEMBER', P .. 'groups', g) == 1 end

local function newer(a, b)
  local ams, aseq = string.match(a, '^(%d+)-(%d+)$')
  local bms, bseq = string.match(b, '^(%d+)-(%d+)$')
  ams, aseq, bms, bseq = tonumber(ams), tonumber(aseq), tonumber(bms), tonumber(bseq)
  return ams > bms or (ams == bms and aseq > bseq)
end

-- Drops what every group has taken, in bounded steps: whole nodes first, the rest of one node when there are no more of them.
-- Tells whether there is more to drop.
local function trim(stream)
  local least
  for _, info in ipairs(call('XINFO', 'GROUPS', stream)) do
    local group = pairs_of(info)
    local from
    if group.pending > 0 then
      from = call('XPENDING', stream, group.name)[2]
    else
      local ms, seq = string.match(group['last-delivered-id'], '^(%d+)-(%d+)$')
      from = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
    end
    if not least or newer(least, from) then least = from end
  end
  if not least then return false end
  local dropped = call('XTRIM', stream, 'MINID', '~', least, 'LIMIT', 10000)
  if dropped >= 9900 then return true end
  call('XTRIM', stream, 'MINID', '=', least)
  return false
end

local function remove_group(g)
  for _, stream in ipairs({ S, O }) do
    if call('EXISTS', stream) == 1 then call('XGROUP', 'DESTROY', stream, g) end
  end
  for _, what in ipairs({ 'group', 'wake', 'ready', 'later', 'lease', 'holder', 'store', 'error', 'keys', 'queue', 'dead',
    'deadids', 'consumers', 'seen' }) do
    call('UNLINK', name(what, g))
  end
  call('ZREM', P .. 'expiring', g)
  return call('SREM', P .. 'groups', g)
end

-- Removes groups that have had no consumer for too long. One that did not leave is given the time of some heartbeats.
local function sweep(time)
  local gone = call('ZRANGEBYSCORE', P .. 'expiring', '-inf', time, 'LIMIT', 0, 10)
  for _, g in ipairs(gone) do
    local last = tonumber(call('ZRANGE', name('seen', g), 0, 0, 'REV', 'WITHSCORES')[2])
    local expires = tonumber(call('HGET', name('group', g), 'expiresMs'))
    local at = last and expires and last + math.max(expires, 3000)
    if at and at > time then
      call('ZADD', P .. 'expiring', at, g)
    else
      remove_group(g)
    end
  end
end
`;
