/**
 * Scripts about groups and their dead letters, in Lua.
 *
 * @module
 */

/**
 * Makes a group, or changes one.
 *
 * Arguments: what (\`make\` or \`update\`), group, and its filter, where it starts (\`0\` or \`$\`), most attempts, expiry in milliseconds;
 * each may be empty. A consumer that joins and its lease may follow.
 *
 * Returns the filter it has; nothing when it is to be changed and there is none.
 */
export const group: string = `
local what, g, keys, from, attempts, expires = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local time = now()
sweep(time)
local settings = name('group', g)
if not exists(g) then
  if what == 'update' then return false end
  for _, stream in ipairs({ S, O, name('wake', g) }) do
    -- A consumer group without settings is left of a call that broke off, or of another program: it stays where it is.
    local made = redis.pcall('XGROUP', 'CREATE', stream, g, from == '' and '0' or from, 'MKSTREAM')
    if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
  end
  call('HSET', settings, 'keys', keys == '' and '#' or keys, 'maxAttempts', attempts == '' and 10 or attempts)
  if expires ~= '' then call('HSET', settings, 'expiresMs', expires) end
  call('SADD', P .. 'groups', g)
else
  go_on(g)
end
if what == 'update' then
  if keys ~= '' then call('HSET', settings, 'keys', keys) end
  if attempts ~= '' then call('HSET', settings, 'maxAttempts', attempts) end
  if expires ~= '' then call('HSET', settings, 'expiresMs', expires) end
end
local stored = call('HMGET', settings, 'keys', 'expiresMs')
if stored[2] then call('ZADD', P .. 'expiring', time + tonumber(stored[2]), g) end
if ARGV[7] and (keys == '' or keys == stored[1]) then
  call('HSET', name('consumers', g), ARGV[7], ARGV[8])
  call('ZADD', name('seen', g), time, ARGV[7])
end
return stored[1]
`;

/** Removes a group. Argument: the group. Returns 1 when there was one. */
export const removeGroup: string = `
return remove_group(ARGV[1])
`;

/**
 * Counts.
 *
 * Argument: after how many milliseconds without a word a consumer is gone.
 *
 * Returns how many are stored, then for each group its name, ready, delayed, in flight, dead, consumers, age of the oldest, and 1
 * when the counts are bounds.
 */
export const stats: string = `
local time, stale = now(), tonumber(ARGV[1])
sweep(time)
local delayed = call('ZCARD', P .. 'delayed')
local groups = call('SMEMBERS', P .. 'groups')
local out = { 0 }
local stored = delayed
if #groups > 0 then
  trim(S)
  trim(O)
end
stored = stored + call('XLEN', S) + call('XLEN', O)

local function infos(stream)
  local all = {}
  if call('EXISTS', stream) == 1 then
    for _, info in ipairs(call('XINFO', 'GROUPS', stream)) do
      local t = pairs_of(info)
      all[t.name] = t
    end
  end
  return all
end
local fresh, ordered = infos(S), infos(O)

local function age_of_next(stream, info)
  local found = call('XRANGE', stream, '(' .. info['last-delivered-id'], '+', 'COUNT', 1)[1]
  return found and tonumber(string.match(found[1], '^(%d+)'))
end

for _, g in ipairs(groups) do
  stored = stored + call('HLEN', name('store', g))
  local s, o = fresh[g] or { pending = 0, lag = 0 }, ordered[g] or { pending = 0, lag = 0 }
  local approximate = call('HGET', name('group', g), 'keys') ~= '#'
  local oldest
  local function older(at)
    if at and (not oldest or at < oldest) then oldest = at end
  end
  local waiting = 0
  for stream, info in pairs({ [S] = s, [O] = o }) do
    if type(info.lag) == 'number' then waiting = waiting + info.lag else approximate = true end
    if info['last-delivered-id'] then older(age_of_next(stream, info)) end
  end
  if s.pending > 0 then older(tonumber(string.match(call('XPENDING', S, g)[2], '^(%d+)'))) end
  for _, what in ipairs({ 'ready', 'later', 'lease' }) do
    local head = call('ZRANGE', name(what, g), 0, 0)[1]
    if head then older(born(head)) end
  end
  local n = #out
  out[n + 1] = g
  out[n + 2] = waiting + call('ZCARD', name('ready', g)) + call('ZCARD', name('queue', g))
  out[n + 3] = call('ZCARD', name('later', g)) + delayed
  out[n + 4] = s.pending + call('ZCARD', name('lease', g))
  out[n + 5] = call('XLEN', name('dead', g))
  out[n + 6] = call('ZCOUNT', name('seen', g), time - stale, '+inf')
  out[n + 7] = oldest and math.max(0, time - oldest) or 0
  out[n + 8] = approximate and 1 or 0
end
out[1] = stored
return out
`;

/**
 * Takes dead letters out, and puts them back into their group or not.
 *
 * Arguments: group, 1 to put them back, the greatest id in \`dead\`, at most how many, then ids of messages; none: all.
 *
 * Returns how many, and 1 when there may be more.
 */
export const revive: string = `
local g, back, upto, most = ARGV[1], ARGV[2] == '1', ARGV[3], tonumber(ARGV[4])
if not exists(g) then return { 0, 0 } end
local dead, ids = name('dead', g), name('deadids', g)
local list = {}
if #ARGV < 5 then
  list = call('XRANGE', dead, '-', upto, 'COUNT', most)
else
  for i = 5, #ARGV do
    local found = call('ZRANGEBYLEX', ids, '[' .. ARGV[i] .. '\\n', '(' .. ARGV[i] .. '\\v')
    for _, member in ipairs(found) do
      local ms, seq = string.match(string.sub(member, #ARGV[i] + 2), '^(%d+)-(%d+)$')
      local id = string.format('%.0f-%.0f', tonumber(ms), tonumber(seq))
      if not newer(id, upto) then
        local item = call('XRANGE', dead, id, id)[1]
        if item then list[#list + 1] = item end
      end
    end
  end
end
local time = now()
for _, item in ipairs(list) do
  local text = item[2][2]
  local id, _, _, ordering = parse(text)
  call('XDEL', dead, item[1])
  call('ZREM', ids, id .. '\\n' .. pad(item[1]))
  if back then
    local token = string.format('%016.0f-%020.0f', time, call('INCR', P .. 'sequence')) .. 'r'
    put(g, token, 0, text)
    if ordering == '' or call('HSETNX', name('keys', g), ordering, token) == 1 then
      call('ZADD', name('ready', g), 0, token)
    else
      call('ZADD', name('queue', g), 0, ordering .. '\\0' .. token)
    end
  end
end
if back and #list > 0 then wake(g) end
return { #list, #ARGV < 5 and #list == most and 1 or 0 }
`;
