package record

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the record as JSON, equal in meaning to what encoding/json makes of it. It is written by hand because
// it runs for every call, for the store and for the access log, and costs a quarter of encoding/json's time.
func (r *Record) AppendJSON(b []byte) []byte {
	b = append(b, `{"trace":"`...)
	b, _ = r.ID.AppendText(b)
	b = append(b, `","time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","generation":`...)
	b = strconv.AppendUint(b, r.Generation, 10)

	b = always(b, "method", r.Method)
	b = text(b, "scheme", r.Scheme)
	b = always(b, "host", r.Host)
	b = always(b, "path", r.Path)
	b = text(b, "query", r.Query)
	b = always(b, "proto", r.Proto)
	b = always(b, "client", r.Client)
	b = always(b, "peer", r.Peer)
	b = text(b, "agent", r.Agent)
	if len(r.Fields) > 0 {
		b = append(b, `,"fields":[`...)
		for i := range r.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"n":`...)
			b = quote(b, r.Fields[i].Name)
			b = append(b, `,"v":`...)
			b = quote(b, r.Fields[i].Value)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = number(name(b, "bytes_in"), r.BytesIn)
	b = number(name(b, "bytes_out"), r.BytesOut)

	b = text(b, "tenant", r.Tenant)
	b = text(b, "api", r.API)
	b = text(b, "version", r.Version)
	b = text(b, "operation", r.Operation)
	b = text(b, "application", r.Application)
	b = text(b, "key", r.Key)
	b = flag(b, "proven", r.Proven)
	b = text(b, "caller_tenant", r.CallerTenant)

	b = always(b, "outcome", r.Outcome)
	b = always(b, "origin", r.Origin)
	b = number(name(b, "status"), int64(r.Status))
	b = text(b, "reason", r.Reason)
	b = text(b, "gate", r.Gate)
	b = text(b, "rule", r.Rule)
	b = text(b, "pointer", r.Pointer)
	if len(r.Steps) > 0 { // of few calls
		b = rare(b, "steps", r.Steps)
	}

	b = text(b, "upstream", r.Upstream)
	b = text(b, "target", r.Target)
	b = some(b, "received_status", int64(r.ReceivedStatus))
	if len(r.Attempts) > 0 {
		b = rare(b, "attempts", r.Attempts)
	}
	b = number(name(b, "decided_ns"), int64(r.Decided))
	b = some(b, "first_byte_ns", int64(r.FirstByte))
	b = number(name(b, "took_ns"), int64(r.Took))
	b = flag(b, "truncated", r.Truncated)
	b = text(b, "fault", r.Fault)

	b = text(b, "model", r.Model)
	b = flag(b, "stream", r.Stream)
	b = some(b, "input_tokens", r.Input)
	b = some(b, "cached_input_tokens", r.CachedInput)
	b = some(b, "output_tokens", r.Output)
	b = some(b, "reasoning_tokens", r.Reasoning)
	b = flag(b, "usage_estimated", r.Estimated)
	b = some(b, "cost_pico", r.Cost)
	b = text(b, "currency", r.Currency)
	b = text(b, "price_version", r.PriceVersion)
	b = flag(b, "unpriced", r.Unpriced)
	return append(b, '}')
}

func name(b []byte, n string) []byte {
	return append(append(append(b, `,"`...), n...), `":`...)
}

func always(b []byte, n, v string) []byte { return quote(name(b, n), v) }

func text(b []byte, n, v string) []byte {
	if v == "" {
		return b
	}
	return quote(name(b, n), v)
}

func number(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) }

func some(b []byte, n string, v int64) []byte {
	if v == 0 {
		return b
	}
	return number(name(b, n), v)
}

func flag(b []byte, n string, v bool) []byte {
	if !v {
		return b
	}
	return append(name(b, n), "true"...)
}

func rare(b []byte, n string, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil { // plain data cannot fail; a record without its steps is better than none
		return b
	}
	return append(name(b, n), j...)
}

const hexDigits = "0123456789abcdef"

// quote appends s as a JSON string (RFC 8259 section 7). Bytes that are no UTF-8 become U+FFFD.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			b = append(append(b, s[from:i]...), "\uFFFD"...)
		} else {
			b = append(b, s[from:i]...)
			if c == '"' || c == '\\' {
				b = append(b, '\\', c)
			} else {
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}
