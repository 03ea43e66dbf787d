package lab

import (
	"context"
	"errors"
	"time"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
)

// dryEnv copies an environment so that nothing can be spent or written through it. blind names, by reason, what the copy
// cannot ask: a gate that fails for want of it is unknown, not unavailable.
func dryEnv(env *gate.Env) (dry *gate.Env, blind map[string]string) {
	blind = map[string]string{}
	dry = &gate.Env{Dry: true}
	if env != nil {
		dry.Now, dry.Directory, dry.KeySets, dry.Credentials, dry.Asker = env.Now, env.Directory, env.KeySets, env.Credentials, env.Asker
	}
	if dry.Now == nil {
		dry.Now = time.Now
	}
	if dry.Directory == nil {
		dry.Directory = noDirectory{}
		for _, r := range []*decision.Reason{decision.AuthnUnavailable, decision.AccountUnavailable, decision.SubscriptionUnavailable} {
			blind[r.Code] = "directory"
		}
	}
	switch c := counters(env).(type) {
	case interface{ Dry() gate.Counters }:
		dry.Counters = c.Dry()
	default:
		if env != nil && env.Dry && c != nil {
			dry.Counters = c // the caller vouches that these only peek
			break
		}
		dry.Counters = noCounters{}
		blind[decision.LimitUnavailable.Code] = "counters"
	}
	return dry, blind
}

func counters(env *gate.Env) gate.Counters {
	if env == nil {
		return nil
	}
	return env.Counters
}

var errAbsent = errors.New("not part of this simulation")

type noDirectory struct{}

func (noDirectory) Key(*[32]byte, *directory.Key) (bool, error)              { return false, errAbsent }
func (noDirectory) Application(string, *directory.Application) (bool, error) { return false, errAbsent }
func (noDirectory) Tenant(string, *directory.Tenant) (bool, error)           { return false, errAbsent }
func (noDirectory) Subscription(_, _, _ string, _ *directory.Subscription) (bool, error) {
	return false, errAbsent
}

type noCounters struct{}

func (noCounters) Take(context.Context, time.Time, []gate.Take) (int, error) { return -1, errAbsent }
func (noCounters) Return(context.Context, time.Time, []gate.Take)            {}
