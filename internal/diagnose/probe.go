package diagnose

import "context"

type Prober struct{}
type Probing struct{}

func (c *theCase) probe(context.Context, *Prober) error { return nil }
func (c *theCase) compare()                             {}
