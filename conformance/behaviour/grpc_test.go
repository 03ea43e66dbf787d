package behaviour

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echo is a service without generated code: one unary method and one stream in both directions.
type echo struct{ cancelled chan struct{} }

var service = grpc.ServiceDesc{
	ServiceName: "postern.conformance.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in wrapperspb.StringValue
		if err := decode(&in); err != nil {
			return nil, err
		}
		return srv.(*echo).say(ctx, in.Value)
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Talk", ClientStreams: true, ServerStreams: true, Handler: func(srv any, s grpc.ServerStream) error {
		return srv.(*echo).talk(s)
	}}},
}

func (e *echo) say(ctx context.Context, text string) (any, error) {
	if err := grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "said", "x-bin-bin", "\x00\xff")); err != nil {
		return nil, err
	}
	switch text {
	case "fail":
		return nil, status.Error(codes.FailedPrecondition, "ünsuitable: 100 %")
	case "wait":
		<-ctx.Done()
		e.cancelled <- struct{}{}
		return nil, ctx.Err()
	}
	return wrapperspb.String("echo: " + text), nil
}

func (e *echo) talk(s grpc.ServerStream) error {
	s.SetTrailer(metadata.Pairs("x-trailer", "talked"))
	for {
		var in wrapperspb.StringValue
		if err := s.RecvMsg(&in); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.SendMsg(wrapperspb.String("echo: " + in.Value)); err != nil {
			return err
		}
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{cancelled: make(chan struct{}, 8)}
	server := grpc.NewServer()
	server.RegisterService(&service, e)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	w := newWorld(t, http.NotFoundHandler(), l.Addr().String())
	for name, c := range map[string]struct {
		address string
		with    credentials.TransportCredentials
	}{
		"h2c": {w.plain, insecure.NewCredentials()},
		"TLS": {w.secure, credentials.NewTLS(&tls.Config{RootCAs: w.cert.Pool, ServerName: "gw.test"})},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := grpc.NewClient("passthrough:///"+c.address, grpc.WithTransportCredentials(c.with))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			testGRPC(t, conn, e)
		})
	}
}

func testGRPC(t *testing.T, conn *grpc.ClientConn, e *echo) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const say, talk = "/postern.conformance.Echo/Say", "/postern.conformance.Echo/Talk"
	t.Run("unary", func(t *testing.T) {
		var out wrapperspb.StringValue
		var trailer metadata.MD
		long := strings.Repeat("x", 1<<20)
		if err := conn.Invoke(ctx, say, wrapperspb.String(long), &out, grpc.Trailer(&trailer)); err != nil || out.Value != "echo: "+long {
			t.Fatalf("%d bytes, %v", len(out.Value), err)
		}
		if got := trailer.Get("x-trailer"); len(got) != 1 || got[0] != "said" {
			t.Errorf("trailers: %v", trailer)
		}
		if got := trailer.Get("x-bin-bin"); len(got) != 1 || got[0] != "\x00\xff" {
			t.Errorf("binary trailer: %q", got)
		}
	})
	t.Run("the backend's error", func(t *testing.T) {
		var trailer metadata.MD
		err := conn.Invoke(ctx, say, wrapperspb.String("fail"), &wrapperspb.StringValue{}, grpc.Trailer(&trailer))
		if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "ünsuitable: 100 %" {
			t.Errorf("%v", err)
		}
		if got := trailer.Get("x-trailer"); len(got) != 1 {
			t.Errorf("trailers: %v", trailer)
		}
	})
	t.Run("both directions", func(t *testing.T) {
		s, err := conn.NewStream(ctx, &service.Streams[0], talk)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 { // one at a time: the answer has to come before the next is sent
			text := fmt.Sprintf("message %d", i)
			if err := s.SendMsg(wrapperspb.String(text)); err != nil {
				t.Fatal(err)
			}
			var out wrapperspb.StringValue
			if err := s.RecvMsg(&out); err != nil || out.Value != "echo: "+text {
				t.Fatalf("%q, %v", out.Value, err)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
			t.Errorf("the end: %v", err)
		}
		if got := s.Trailer().Get("x-trailer"); len(got) != 1 || got[0] != "talked" {
			t.Errorf("trailers: %v", s.Trailer())
		}
	})
	t.Run("deadline", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		err := conn.Invoke(short, say, wrapperspb.String("wait"), &wrapperspb.StringValue{})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		within(t, "the end of the backend's call", e.cancelled)
	})
	t.Run("refused by the gateway", func(t *testing.T) {
		err := conn.Invoke(ctx, "/postern.conformance.Nowhere/Say", wrapperspb.String("x"), &wrapperspb.StringValue{})
		if c := status.Code(err); c != codes.Unimplemented && c != codes.NotFound {
			t.Errorf("%v, want a gRPC status", err)
		}
	})
}
