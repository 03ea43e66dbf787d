package forward

import (
	"strconv"

	"postern/internal/header"
)

func itoa(n int) string { return strconv.Itoa(n) }

// head hands the head of the final answer to the sink. From here on there is no other attempt.
func (c *call) head(status int, h header.List, length int64, contentType string) *fault {
	r := &c.x.Result
	c.handed, c.status = true, status
	r.ReceivedStatus, r.Status = status, status
	r.FirstByte = c.now().Sub(c.x.Started)
	c.trial(status)
	if c.x.Model != nil {
		if tr := c.f.translators(c.x.Op.Dialect); tr != nil {
			c.answer = tr.Answer(c.x, status, contentType)
			if !c.answer.SameLength() {
				length = -1
			}
		}
	}
	return c.sunk(c.w.Head(status, h, length))
}

// pass hands bytes of the body to the sink, by way of the translator if there is one.
func (c *call) pass(p []byte) *fault {
	if c.answer != nil {
		p = c.answer.Next(p)
	}
	if len(p) == 0 {
		return nil
	}
	n, err := c.w.Write(p)
	c.x.Result.BytesOut += int64(n)
	return c.sunk(err)
}

// end completes the answer.
func (c *call) end(trailer header.List) *fault {
	if c.answer != nil {
		if last := c.answer.End(); len(last) > 0 {
			n, err := c.w.Write(last)
			c.x.Result.BytesOut += int64(n)
			if err != nil {
				return c.sunk(err)
			}
		}
		c.meter()
	}
	return c.sunk(c.w.End(trailer))
}

// meter notes what the model server reported.
func (c *call) meter() {
	if u, ok := c.answer.Usage(); ok {
		c.x.Usage = u
	}
}

// sunk turns an error of the sink into a fault: the caller cannot be written to.
func (c *call) sunk(err error) *fault {
	if err == nil {
		return nil
	}
	c.sinkIs = err
	if c.answer != nil {
		c.meter()
	}
	return goneFault()
}

// flush sends what was written so far; connections call it before they wait for more.
func (c *call) flush() error {
	if err := c.w.Flush(); err != nil {
		c.sinkIs = err
		return err
	}
	return nil
}

// brokeOff handles an answer that ended before its end. A stream of events that the caller is already reading gets a last
// event that says so and ends well; anything else is left to the engine to break. Either way the fault stays one.
func (c *call) brokeOff(f *fault, length int64) *fault {
	if c.answer == nil {
		return f
	}
	c.meter()
	if f.ours || c.w.Gone() || length >= 0 || !c.w.Committed() {
		return f
	}
	said := f.word(c.up.pool.name, c.x.Result.Target).Render(c.x.Asker())
	event := c.answer.Abort(said, c.x.ID)
	if event == nil {
		return f
	}
	n, err := c.w.Write(event)
	c.x.Result.BytesOut += int64(n)
	if err == nil {
		err = c.w.End(nil)
	}
	if err != nil {
		return c.sunk(err)
	}
	return f
}
