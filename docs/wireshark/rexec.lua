-- A Wireshark dissector for rexec (docs/PROTOCOL.md): the handshake, records, messages.
--
--   tshark -X lua_script:rexec.lua -r FILE -O rexec
--
-- or put it into Wireshark's directory of personal Lua plugins. Records of the readable suite (hmac-sha256)
-- are shown as they are. Sealed ones (aes256gcm, chacha20poly1305) are opened if their session's keys are in
-- the file that the environment's REXEC_KEYLOG or the preference rexec.keylog names; `rexec` writes it if it is
-- run with the same REXEC_KEYLOG. Tags are not checked: this shows what was sent, it does not judge.

local rexec = Proto("rexec", "rexec remote command execution")

rexec.prefs.port = Pref.uint("TCP port", 7512, "The port of rexecd")
rexec.prefs.keylog = Pref.string("Key log", "", "File written by rexec under REXEC_KEYLOG; empty: $REXEC_KEYLOG")
rexec.prefs.most = Pref.uint("Bytes to open", 16384, "Of each sealed record no more than this is opened")

-- ---------------------------------------------------------------------------------------------- names

local MESSAGES = {
    [1] = "WELCOME", [2] = "PING", [3] = "PONG", [4] = "CLOSE", [5] = "GOAWAY", [6] = "ERROR",
    [16] = "EXEC", [17] = "RESUME", [18] = "ATTACH", [19] = "DETACH", [20] = "SIGNAL", [21] = "RESIZE",
    [22] = "LIST", [23] = "FORGET", [32] = "STARTED", [33] = "RESUMED", [34] = "REFUSED", [35] = "DONE",
    [36] = "LISTED", [37] = "EXIT", [48] = "STDIN", [49] = "STDOUT", [50] = "STDERR", [51] = "ACK",
    [52] = "EXIT_ACK",
}
local SUITES = {[0] = "none", [1] = "aes256gcm", [2] = "chacha20poly1305", [4] = "hmac-sha256"}
local WORDS = {[1] = "word", [2] = "environment", [3] = "directory", [129] = "optional environment"}
local BYTE_STREAMS = {[0] = "stdin", [1] = "stdout", [2] = "stderr"}
local TAGS = {[1] = 16, [2] = 16, [4] = 32}
local HANDSHAKE = {[1] = 88, [2] = 104, [3] = 40}

local f = {}
local function field(name, kind, title, ...)
    f[name] = ProtoField[kind]("rexec." .. name:gsub("_", "."), title, ...)
end
field("magic", "string", "Magic")
field("handshake", "uint8", "Handshake message", base.DEC, {[1] = "M1", [2] = "M2", [3] = "M3"})
field("version_min", "uint8", "Lowest version")
field("version_max", "uint8", "Highest version")
field("version", "uint8", "Version")
field("suites", "uint8", "Suites offered", base.HEX)
field("suite", "uint8", "Suite", base.HEX, SUITES)
field("zero", "uint8", "Zero")
field("kid", "bytes", "Grant (kid)")
field("nonce", "bytes", "Nonce of the client")
field("ephemeral", "bytes", "Ephemeral X25519 key")
field("challenge", "bytes", "Challenge")
field("proof", "bytes", "Proof of the server")
field("response", "bytes", "Response of the client")
field("length", "uint32", "Record length")
field("record", "uint64", "Record number")
field("sealed", "bytes", "Sealed payload")
field("tag", "bytes", "Tag")
field("type", "uint8", "Message", base.DEC, MESSAGES)
field("flags", "uint8", "Flags", base.HEX)
field("header_length", "uint16", "Header length")
field("stream", "uint32", "Stream")
field("header", "string", "Header")
field("body", "bytes", "Body")
field("offset", "uint64", "Offset")
field("data", "bytes", "Data")
field("window", "uint32", "Window")
field("which", "uint8", "Byte stream", base.DEC, BYTE_STREAMS)
field("word_kind", "uint8", "Kind of word", base.DEC, WORDS)
field("word", "string", "Word")
field("sequence", "uint64", "Request number")
field("mac", "bytes", "Proof of the request")
rexec.fields = f

local sealed_note = ProtoExpert.new("rexec.unopened", "Sealed: its keys are not in the key log", expert.group.UNDECODED,
                                    expert.severity.NOTE)
local bad_length = ProtoExpert.new("rexec.bad_length", "Length out of bounds", expert.group.MALFORMED,
                                   expert.severity.ERROR)
rexec.experts = {sealed_note, bad_length}

-- ------------------------------------------------------------------ bits; Wireshark's Lua has one of these

local lib = bit32 or bit
local TWO32 = 4294967296
local function xor(a, b) return lib.bxor(a, b) % TWO32 end
local function band(a, b) return lib.band(a, b) % TWO32 end
local function bnot(a) return TWO32 - 1 - a end
local function shr(a, n) return math.floor(a / 2 ^ n) end
local function shl(a, n) return a * 2 ^ n % TWO32 end
local function rol(a, n) return shl(a, n) + shr(a, 32 - n) end
local function ror(a, n) return rol(a, 32 - n) end
local function u32be(n)
    return string.char(shr(n, 24) % 256, shr(n, 16) % 256, shr(n, 8) % 256, n % 256)
end
local function word_be(s, i)
    local a, b, c, d = s:byte(i, i + 3)
    return ((a * 256 + b) * 256 + c) * 256 + d
end
local function word_le(s, i)
    local a, b, c, d = s:byte(i, i + 3)
    return ((d * 256 + c) * 256 + b) * 256 + a
end

-- --------------------------------------------------- SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869)

local function primes(n)
    local found, candidate = {}, 2
    while #found < n do
        local prime = true
        for _, p in ipairs(found) do
            if candidate % p == 0 then prime = false break end
        end
        if prime then found[#found + 1] = candidate end
        candidate = candidate + 1
    end
    return found
end

-- The first 32 bits behind the point of a root, exactly: a double's 53 are enough for 32 and the few before it.
local function root_bits(prime, power)
    local root = prime ^ power
    return math.floor((root - math.floor(root)) * TWO32)
end

local K, H0 = {}, {}
for i, prime in ipairs(primes(64)) do
    K[i] = root_bits(prime, 1 / 3)
    if i <= 8 then H0[i] = root_bits(prime, 1 / 2) end
end

local function sha256(text)
    local h = {}
    for i = 1, 8 do h[i] = H0[i] end
    local bits = #text * 8
    text = text .. "\128" .. ("\0"):rep((55 - #text) % 64) .. u32be(math.floor(bits / TWO32)) .. u32be(bits % TWO32)
    local w = {}
    for block = 1, #text, 64 do
        for i = 1, 16 do w[i] = word_be(text, block + 4 * (i - 1)) end
        for i = 17, 64 do
            local x, y = w[i - 15], w[i - 2]
            local s0 = xor(xor(ror(x, 7), ror(x, 18)), shr(x, 3))
            local s1 = xor(xor(ror(y, 17), ror(y, 19)), shr(y, 10))
            w[i] = (w[i - 16] + s0 + w[i - 7] + s1) % TWO32
        end
        local a, b, c, d, e, g, k, l = h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
        for i = 1, 64 do
            local s1 = xor(xor(ror(e, 6), ror(e, 11)), ror(e, 25))
            local t1 = (l + s1 + xor(band(e, g), band(bnot(e), k)) + K[i] + w[i]) % TWO32
            local s0 = xor(xor(ror(a, 2), ror(a, 13)), ror(a, 22))
            local t2 = s0 + xor(xor(band(a, b), band(a, c)), band(b, c))
            l, k, g, e, d, c, b, a = k, g, e, (d + t1) % TWO32, c, b, a, (t1 + t2) % TWO32
        end
        for i, v in ipairs({a, b, c, d, e, g, k, l}) do h[i] = (h[i] + v) % TWO32 end
    end
    local out = {}
    for i = 1, 8 do out[i] = u32be(h[i]) end
    return table.concat(out)
end

local function hmac(key, text)
    key = key .. ("\0"):rep(64 - #key)
    local inner = key:gsub(".", function(c) return string.char(xor(c:byte(), 0x36)) end)
    local outer = key:gsub(".", function(c) return string.char(xor(c:byte(), 0x5c)) end)
    return sha256(outer .. sha256(inner .. text))
end

local function expand(prk, info) return hmac(prk, info .. "\1") end

-- ---------------------------------------------------------------------------------- ChaCha20 (RFC 8439)

local function quarter(s, a, b, c, d)
    s[a] = (s[a] + s[b]) % TWO32  s[d] = rol(xor(s[d], s[a]), 16)
    s[c] = (s[c] + s[d]) % TWO32  s[b] = rol(xor(s[b], s[c]), 12)
    s[a] = (s[a] + s[b]) % TWO32  s[d] = rol(xor(s[d], s[a]), 8)
    s[c] = (s[c] + s[d]) % TWO32  s[b] = rol(xor(s[b], s[c]), 7)
end

-- The key stream's block number n (from 1) for a record, 64 bytes.
local function chacha20(key)
    local start = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}
    for i = 0, 7 do start[5 + i] = word_le(key, 1 + 4 * i) end
    return 64, function(n, record)
        local s = {}
        start[13], start[14] = n, 0                         -- nonce: 4 zero bytes, u64 record, big-endian
        local number = u32be(math.floor(record / TWO32)) .. u32be(record % TWO32)
        start[15], start[16] = word_le(number, 1), word_le(number, 5)
        for i = 1, 16 do s[i] = start[i] end
        for _ = 1, 10 do
            quarter(s, 1, 5, 9, 13)  quarter(s, 2, 6, 10, 14)  quarter(s, 3, 7, 11, 15)  quarter(s, 4, 8, 12, 16)
            quarter(s, 1, 6, 11, 16)  quarter(s, 2, 7, 12, 13)  quarter(s, 3, 8, 9, 14)  quarter(s, 4, 5, 10, 15)
        end
        local out = {}
        for i = 1, 16 do
            local v = (s[i] + start[i]) % TWO32
            out[i] = string.char(v % 256, shr(v, 8) % 256, shr(v, 16) % 256, shr(v, 24))
        end
        return table.concat(out)
    end
end

-- ------------------------------------------------- AES-256 (FIPS 197) in counter mode, as GCM (SP 800-38D) uses it

local function double(a)
    a = a * 2
    return a > 255 and xor(a, 0x11b) or a
end

local SBOX = {}
do
    local log, power, x = {}, {}, 1                         -- powers of 3 go through the whole field
    for i = 0, 254 do
        power[i], log[x] = x, i
        x = xor(x, double(x))
    end
    for i = 0, 255 do
        local v = i == 0 and 0 or power[(255 - log[i]) % 255]
        local s = v
        for _ = 1, 4 do
            v = v * 2 % 256 + math.floor(v / 128)
            s = xor(s, v)
        end
        SBOX[i] = xor(s, 0x63)
    end
end

local function aes_keys(key)
    local w, factor = {}, 1
    for i = 0, 7 do w[i] = {key:byte(1 + 4 * i, 4 + 4 * i)} end
    for i = 8, 59 do
        local t = w[i - 1]
        if i % 8 == 0 then
            t = {xor(SBOX[t[2]], factor), SBOX[t[3]], SBOX[t[4]], SBOX[t[1]]}
            factor = double(factor)
        elseif i % 8 == 4 then
            t = {SBOX[t[1]], SBOX[t[2]], SBOX[t[3]], SBOX[t[4]]}
        end
        w[i] = {}
        for j = 1, 4 do w[i][j] = xor(w[i - 8][j], t[j]) end
    end
    return w
end

local function aes_block(w, s)
    for i = 0, 15 do s[i] = xor(s[i], w[math.floor(i / 4)][i % 4 + 1]) end
    for round = 1, 14 do
        local t = {}
        for i = 0, 15 do t[i] = SBOX[s[(i + 4 * (i % 4)) % 16]] end
        for c = 0, 3 do
            local a, b, g, d = t[4 * c], t[4 * c + 1], t[4 * c + 2], t[4 * c + 3]
            if round < 14 then
                local all = xor(xor(a, b), xor(g, d))
                t[4 * c] = xor(xor(a, all), double(xor(a, b)))
                t[4 * c + 1] = xor(xor(b, all), double(xor(b, g)))
                t[4 * c + 2] = xor(xor(g, all), double(xor(g, d)))
                t[4 * c + 3] = xor(xor(d, all), double(xor(d, a)))
            end
            for j = 0, 3 do s[4 * c + j] = xor(t[4 * c + j], w[4 * round + c][j + 1]) end
        end
    end
end

local function aes256(key)
    local w = aes_keys(key)
    return 16, function(n, record)
        local s, start = {}, ("\0"):rep(4) .. u32be(math.floor(record / TWO32)) .. u32be(record % TWO32) .. u32be(n + 1)
        for i = 0, 15 do s[i] = start:byte(i + 1) end
        aes_block(w, s)
        local out = {}
        for i = 0, 15 do out[i + 1] = string.char(s[i]) end
        return table.concat(out)
    end
end

-- -------------------------------------------------------------------------------------------- the key log

local EPOCH = 1048576
local keylog = nil                                          -- nonce in hex -> secrets

local function load_keylog()
    keylog = {}
    local path = rexec.prefs.keylog ~= "" and rexec.prefs.keylog or os.getenv("REXEC_KEYLOG")
    local file = path and io.open(path, "r")
    if not file then return end
    for line in file:lines() do
        local nonce, suite, c2s, s2c = line:match("^REXEC_TRAFFIC_SECRETS (%x+) (%S+) (%x+) (%x+)$")
        if nonce then
            local secrets = {}
            for i, hex in ipairs({c2s, s2c}) do
                secrets[i] = hex:gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end)
            end
            keylog[nonce:lower()] = {suite = suite, secret = {[true] = secrets[1], [false] = secrets[2]}, cipher = {}}
        end
    end
    file:close()
end

-- The cipher of an epoch: the size of its blocks, and the function that makes them.
local function cipher(keys, from_client, epoch)
    local name = tostring(from_client) .. epoch
    if not keys.cipher[name] then
        local secret = keys.secret[from_client]
        for _ = 1, epoch do secret = expand(secret, "rekey") end
        keys.cipher[name] = {(keys.suite == "aes256gcm" and aes256 or chacha20)(expand(secret, "key"))}
    end
    return keys.cipher[name][1], keys.cipher[name][2]
end

local function open(keys, from_client, record, sealed)
    local size, block = cipher(keys, from_client, math.floor(record / EPOCH))
    local out = {}
    for at = 1, #sealed, size do
        local stream, piece = block((at - 1) / size + 1, record), {}
        for i = at, math.min(at + size - 1, #sealed) do
            piece[#piece + 1] = string.char(xor(sealed:byte(i), stream:byte(i - at + 1)))
        end
        out[#out + 1] = table.concat(piece)
    end
    return table.concat(out)
end

-- ----------------------------------------------------------------------------------------- conversations

local tcp_stream, tcp_srcport = Field.new("tcp.stream"), Field.new("tcp.srcport")
local conversations, numbers = {}, {}

function rexec.init()
    conversations, numbers, keylog = {}, {}, nil
end

local function conversation()
    local id = tcp_stream().value
    conversations[id] = conversations[id] or {next = {[true] = 0, [false] = 0}}
    return conversations[id]
end

-- Records have no number on the wire; they are counted when they are seen for the first time.
local function number_of(c, from_client, pinfo, tvb)
    local id = pinfo.number .. ":" .. tvb:offset() .. ":" .. tvb:len() .. ":" .. tostring(from_client)
    if not numbers[id] or not pinfo.visited then
        numbers[id] = c.next[from_client]
        c.next[from_client] = c.next[from_client] + 1
    end
    return numbers[id]
end

-- ---------------------------------------------------------------------------------------------- messages

local function words(range, tree)
    local at = 0
    while at + 5 <= range:len() do
        local n = range(at + 1, 4):uint()
        if at + 5 + n > range:len() then break end
        local branch = tree:add(f.word_kind, range(at, 1))
        if n > 0 then branch:add(f.word, range(at + 5, n)) end
        at = at + 5 + n
    end
end

local function body(kind, range, tree)
    local n = range:len()
    if kind >= 48 and kind <= 50 and n >= 8 then
        tree:add(f.offset, range(0, 8))
        if n > 8 then tree:add(f.data, range(8)) end
    elseif kind == 51 and n == 16 then
        tree:add(f.which, range(0, 1))
        tree:add(f.window, range(4, 4))
        tree:add(f.offset, range(8, 8))
    elseif kind == 16 or kind == 36 then
        words(range, tree)
    else
        tree:add(f.body, range)
    end
end

local function message(range, whole, pinfo, tree)
    local kind, n = range(0, 1):uint(), range(2, 2):uint()
    local name = MESSAGES[kind] or ("type " .. kind)
    pinfo.cols.info:append(" " .. name)
    tree:append_text(": " .. name)
    tree:add(f.type, range(0, 1))
    tree:add(f.flags, range(1, 1)):append_text(range(1, 1):uint() % 2 == 1 and " (LAST)" or "")
    tree:add(f.header_length, range(2, 2))
    tree:add(f.stream, range(4, 4))
    local at, last = 8, range:len()
    if n > 0 and at + n <= last then
        tree:add(f.header, range(at, n))
    end
    at = at + n
    -- A request's trailer is at its end, which is not there if only the beginning was opened.
    if kind >= 16 and kind <= 23 and whole and last - at >= 40 then
        last = last - 40
        tree:add(f.sequence, range(last, 8))
        tree:add(f.mac, range(last + 8, 32))
    end
    if at < last then body(kind, range(at, last - at), tree) end
end

local function record(tvb, pinfo, tree, c, from_client)
    local n = tvb(0, 4):uint()
    local branch = tree:add(rexec, tvb(), "Record")
    branch:add(f.length, tvb(0, 4))
    local number = number_of(c, from_client, pinfo, tvb)
    branch:add(f.record, UInt64.new(number % TWO32, math.floor(number / TWO32))):set_generated()
    local known = c.suite == nil or TAGS[c.suite] ~= nil
    local tag = TAGS[known and c.suite or 4]        -- of a suite that there is not: as long as the longest
    if n < 8 + tag or n > 262144 then
        branch:add_proto_expert_info(bad_length)
        return
    end
    local payload = tvb(4, n - tag)
    branch:add(f.tag, tvb(4 + n - tag, tag))
    if c.suite == 4 then
        message(payload, true, pinfo, branch)
        return
    end
    branch:add(f.sealed, payload)
    local keys = known and c.nonce and keylog[c.nonce]
    if not keys then
        pinfo.cols.info:append(" sealed")
        branch:append_text(": sealed")
        branch:add_proto_expert_info(sealed_note)
        return
    end
    local most = math.min(payload:len(), math.max(rexec.prefs.most, 8))
    local opened = open(keys, from_client, number, payload:bytes(0, most):raw())
    local hex = opened:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
    message(ByteArray.new(hex):tvb("Opened record")(), most == payload:len(), pinfo, branch)
end

-- --------------------------------------------------------------------------------------------- handshake

local function handshake(tvb, pinfo, tree, c)
    local kind = tvb(4, 1):uint()
    local branch = tree:add(rexec, tvb(), "Handshake: M" .. kind)
    pinfo.cols.info:append(" M" .. kind)
    branch:add(f.magic, tvb(0, 4))
    branch:add(f.handshake, tvb(4, 1))
    if kind == 1 then
        c.client = tcp_srcport().value
        c.nonce = tvb(24, 32):bytes():tohex():lower()
        branch:add(f.version_min, tvb(5, 1))
        branch:add(f.version_max, tvb(6, 1))
        branch:add(f.suites, tvb(7, 1))
        branch:add(f.kid, tvb(8, 16))
        branch:add(f.nonce, tvb(24, 32))
        branch:add(f.ephemeral, tvb(56, 32))
        return
    end
    branch:add(f.version, tvb(5, 1))
    branch:add(f.suite, tvb(6, 1))
    branch:add(f.zero, tvb(7, 1))
    if kind == 2 then
        c.suite = tvb(6, 1):uint()
        branch:add(f.challenge, tvb(8, 32))
        branch:add(f.ephemeral, tvb(40, 32))
        branch:add(f.proof, tvb(72, 32))
    else
        branch:add(f.response, tvb(8, 32))
    end
end

-- ----------------------------------------------------------------------------------------------- the whole

-- Handshake messages begin with "rexc"; a record's length is too small for that.
local function is_handshake(tvb, at)
    return tvb(at, 4):string() == "rexc" and HANDSHAKE[tvb(at + 4, 1):uint()] ~= nil
end

local function length(tvb, _, at)
    if is_handshake(tvb, at) then return HANDSHAKE[tvb(at + 4, 1):uint()] end
    local n = tvb(at, 4):uint()
    if n > 262144 then return tvb:len() - at end            -- nothing of ours; not to be waited for
    return 4 + n
end

local function pdu(tvb, pinfo, tree)
    local c = conversation()
    if is_handshake(tvb, 0) then
        handshake(tvb, pinfo, tree, c)
    else
        local port = tcp_srcport().value
        local from_client = port ~= rexec.prefs.port
        if c.client then from_client = port == c.client end
        record(tvb, pinfo, tree, c, from_client)
    end
    return tvb:len()
end

local function whole(tvb, pinfo, tree)
    if not keylog then load_keylog() end
    pinfo.cols.protocol = "rexec"
    pinfo.cols.info = "rexec"
    dissect_tcp_pdus(tvb, tree, 5, length, pdu)
    return tvb:len()
end
rexec.dissector = whole

local ports = DissectorTable.get("tcp.port")
local listed = rexec.prefs.port
ports:add(listed, rexec)

function rexec.prefs_changed()
    if listed ~= rexec.prefs.port then
        ports:remove(listed, rexec)
        listed = rexec.prefs.port
        ports:add(listed, rexec)
    end
    keylog = nil
end

-- Other ports: what begins like M1. A first segment may hold less than that: then more is asked for, and nothing
-- claimed before it is there. A stray "r" in the middle of another protocol is not waited for.
local M1_BEGINS = "rexc\1"
local tcp_seq, tcp_len = Field.new("tcp.seq"), Field.new("tcp.len")

rexec:register_heuristic("tcp", function(tvb, pinfo, tree)
    local n = math.min(tvb:len(), #M1_BEGINS)
    if n == 0 or tvb(0, n):bytes():raw() ~= M1_BEGINS:sub(1, n) then return false end
    if n < #M1_BEGINS then
        -- It ends where this segment does; is its first byte the stream's (whose relative number is 1)?
        if tcp_seq().value + tcp_len().value - tvb:len() ~= 1 then return false end
        pinfo.desegment_offset, pinfo.desegment_len = 0, DESEGMENT_ONE_MORE_SEGMENT
        return true
    end
    if tvb:len() >= 7 and tvb(5, 1):uint() > tvb(6, 1):uint() then return false end     -- no range of versions
    pinfo.conversation = rexec
    whole(tvb, pinfo, tree)         -- not by its name: what is called so from here may not ask for more of a segment
    return true
end)
