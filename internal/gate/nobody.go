package gate

import (
	"context"
	"io"

	"postern/internal/header"
)

// NoBody is the body of a request without one.
var NoBody Body = noBody{}

type noBody struct{}

func (noBody) Read([]byte) (int, error)                        { return 0, io.EOF }
func (noBody) Peek(context.Context, int) ([]byte, bool, error) { return nil, true, nil }
func (noBody) Length() int64                                   { return 0 }
func (noBody) Replace([]byte)                                  { panic("gate: a request without a body cannot be given one") }
func (noBody) Trailer() header.List                            { return nil }

// AbsentBody stands for a body that is not here: there is one, but whoever simulates the request was not given it. It reads
// like no body; a gate that decides by bodies tells the two apart and abstains.
var AbsentBody Body = absentBody{}

type absentBody struct{ noBody }
