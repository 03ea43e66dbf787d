package sqlite

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"postern/internal/decision"
	"postern/internal/record"
)

// appendDetail writes, as JSON with the field names of record.Record, what has no column of its own. It is written by hand
// because it runs for every call: encoding/json costs four times as much. The shared suite fails when a field of
// record.Record is forgotten here.
func appendDetail(b []byte, x *record.Record) []byte {
	b = append(b, `{"time":"`...)
	b = x.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","generation":`...)
	b = strconv.AppendUint(b, x.Generation, 10)
	b = str(b, "method", x.Method)
	b = str(b, "scheme", x.Scheme)
	b = str(b, "host", x.Host)
	b = str(b, "query", x.Query)
	b = str(b, "proto", x.Proto)
	b = str(b, "client", x.Client)
	b = str(b, "peer", x.Peer)
	b = str(b, "agent", x.Agent)
	b = num(b, "bytes_in", x.BytesIn)
	b = num(b, "bytes_out", x.BytesOut)
	b = str(b, "version", x.Version)
	b = flag(b, "proven", x.Proven)
	b = str(b, "caller_tenant", x.CallerTenant)
	b = str(b, "rule", x.Rule)
	b = str(b, "pointer", x.Pointer)
	b = str(b, "upstream", x.Upstream)
	b = str(b, "target", x.Target)
	b = num(b, "received_status", int64(x.ReceivedStatus))
	b = num(b, "decided_ns", int64(x.Decided))
	b = num(b, "first_byte_ns", int64(x.FirstByte))
	b = num(b, "took_ns", int64(x.Took))
	b = flag(b, "truncated", x.Truncated)
	b = str(b, "fault", x.Fault)
	b = flag(b, "stream", x.Stream)
	b = num(b, "input_tokens", x.Input)
	b = num(b, "cached_input_tokens", x.CachedInput)
	b = num(b, "output_tokens", x.Output)
	b = num(b, "reasoning_tokens", x.Reasoning)
	b = flag(b, "usage_estimated", x.Estimated)
	b = num(b, "cost_pico", x.Cost)
	b = str(b, "currency", x.Currency)
	b = str(b, "price_version", x.PriceVersion)
	b = flag(b, "unpriced", x.Unpriced)
	if len(x.Fields) > 0 {
		b = append(b, `,"fields":[`...)
		for i := range x.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"n":`...)
			b = quote(b, x.Fields[i].Name)
			b = append(b, `,"v":`...)
			b = quote(b, x.Fields[i].Value)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	// Steps and attempts are kept for few calls only.
	b = nested(b, "steps", len(x.Steps), x.Steps)
	b = nested(b, "told", len(x.Steps), told(x.Steps))
	b = nested(b, "attempts", len(x.Attempts), x.Attempts)
	return append(b, '}')
}

// told is how widely each fact of each step may be told, which its JSON leaves out.
func told(steps []record.Step) [][]int {
	all := make([][]int, len(steps))
	for i := range steps {
		for _, f := range steps[i].Facts {
			all[i] = append(all[i], int(f.Public))
		}
	}
	return all
}

// detail reads a record without its methods, should it ever get some.
type detail record.Record

// readDetail fills in what has no column.
func readDetail(b []byte, x *record.Record) error {
	d := struct {
		*detail
		Told [][]int `json:"told"`
	}{detail: (*detail)(x)}
	if err := json.Unmarshal(b, &d); err != nil {
		return err
	}
	for i := range min(len(d.Told), len(x.Steps)) {
		for j := range min(len(d.Told[i]), len(x.Steps[i].Facts)) {
			x.Steps[i].Facts[j].Public = decision.Disclosure(d.Told[i][j])
		}
	}
	x.Time = x.Time.UTC()
	return nil
}

func nested(b []byte, name string, n int, v any) []byte {
	if n == 0 {
		return b
	}
	j, err := json.Marshal(v)
	if err != nil { // plain data cannot fail; a record without its steps is better than none
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return append(b, j...)
}

func str(b []byte, name, v string) []byte {
	if v == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return quote(b, v)
}

func num(b []byte, name string, v int64) []byte {
	if v == 0 {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return strconv.AppendInt(b, v, 10)
}

func flag(b []byte, name string, v bool) []byte {
	if !v {
		return b
	}
	return append(append(append(b, `,"`...), name...), `":true`...)
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
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}
