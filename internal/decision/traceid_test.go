package decision

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTraceIDRoundTrip(t *testing.T) {
	for _, ms := range []int64{0, 1, 1_700_000_000_000, 1<<48 - 1} {
		at := time.UnixMilli(ms)
		id := NewTraceID(at)
		text := id.String()
		if len(text) != TraceIDLen || strings.Trim(text, crockford) != "" {
			t.Fatalf("%q is no trace id", text)
		}
		for _, form := range []string{text, strings.ToLower(text), strings.NewReplacer("1", "l", "0", "o").Replace(text), strings.ReplaceAll(text, "1", "I")} {
			again, err := ParseTraceID(form)
			if err != nil || again != id {
				t.Errorf("%s read back as %s: %v", form, again, err)
			}
		}
		if !id.Time().Equal(at) {
			t.Errorf("time %s, want %s", id.Time(), at)
		}
		b, err := json.Marshal(struct{ ID TraceID }{id})
		if err != nil {
			t.Fatal(err)
		}
		var back struct{ ID TraceID }
		if err := json.Unmarshal(b, &back); err != nil || back.ID != id {
			t.Errorf("%s through JSON is %s: %v", id, back.ID, err)
		}
	}
}

func TestTraceIDKnownText(t *testing.T) {
	id := TraceID{0x01, 0x93, 0x40, 0xf4, 0x31, 0x80, 0x1d, 0xd8, 0x9e, 0x19, 0xa5, 0xb8, 0x4d, 0x70, 0xa8, 0xeb}
	const want = "01JD0F8CC03QC9W6D5Q16Q1A7B"
	if id.String() != want {
		t.Errorf("%s, want %s", id, want)
	}
}

func TestTraceIDsSortByTimeAndDiffer(t *testing.T) {
	start := time.UnixMilli(1_700_000_000_000)
	seen := map[TraceID]bool{}
	var texts []string
	for i := range 1000 {
		id := NewTraceID(start.Add(time.Duration(i) * time.Millisecond))
		if seen[id] {
			t.Fatal("the same id twice")
		}
		seen[id] = true
		texts = append(texts, id.String())
	}
	if !slices.IsSorted(texts) {
		t.Error("ids do not sort by time")
	}
	for range 1000 {
		seen[NewTraceID(start)] = true
	}
	if len(seen) != 2000 {
		t.Errorf("%d different ids of 2000", len(seen))
	}
}

func TestParseTraceIDRefuses(t *testing.T) {
	for _, s := range []string{"", "01JD0Z8C0M3V9W6T5Q4R2E1A7", "01JD0Z8C0M3V9W6T5Q4R2E1A7BB", "81JD0Z8C0M3V9W6T5Q4R2E1A7B", "01JD0Z8C0M3V9W6T5Q4R2E1A7U",
		"01JD0Z8C0M3V9W6T5Q4R2E1A7-", "01JD0Z8C0M3V9W6T5Q4R2E1Aé", strings.Repeat("Z", 26)} {
		if id, err := ParseTraceID(s); err != ErrTraceID {
			t.Errorf("%q was read as %s, %v", s, id, err)
		}
	}
}

func TestTraceIDAllocations(t *testing.T) {
	buf := make([]byte, 0, TraceIDLen)
	now := time.UnixMilli(math.MaxInt32)
	if n := testing.AllocsPerRun(1000, func() {
		id := NewTraceID(now)
		if _, err := id.AppendText(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseTraceID(f *testing.F) {
	f.Add("01JD0Z8C0M3V9W6T5Q4R2E1A7B")
	f.Add("7zzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Add("OIL00000000000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseTraceID(s)
		if err != nil {
			return
		}
		again, err := ParseTraceID(id.String())
		if err != nil || again != id {
			t.Fatalf("%q is %s, read back as %s: %v", s, id, again, err)
		}
	})
}
