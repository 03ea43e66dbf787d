package http1

// Limits bounds what a peer may make a Reader hold. A zero field means the default, so the zero Limits is usable.
type Limits struct {
	LineBytes    int // request line or status line without CRLF; default 8 KiB; above: 414
	FieldBytes   int // one field line without CRLF; default 16 KiB; above: 431
	HeaderBytes  int // the whole field section with its CRLFs; default 64 KiB; above: 431
	HeaderCount  int // field lines; default 128; above: 431
	TrailerBytes int // trailer section; default 8 KiB; above: 431
	TrailerCount int // trailer lines; default 32; above: 431
	// ExtensionBytes bounds the extensions of one chunk; default 256. Over the whole body they may not exceed 16 times
	// that plus the number of data bytes, so that a body cannot consist of extensions; above: 413.
	ExtensionBytes int
}

func (l Limits) withDefaults() Limits {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&l.LineBytes, 8<<10)
	def(&l.FieldBytes, 16<<10)
	def(&l.HeaderBytes, 64<<10)
	def(&l.HeaderCount, 128)
	def(&l.TrailerBytes, 8<<10)
	def(&l.TrailerCount, 32)
	def(&l.ExtensionBytes, 256)
	return l
}
