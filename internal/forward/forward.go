package forward

import (
	"log/slog"

	"postern/internal/provider"
)

// Options are what a Forwarder needs. Zero fields mean defaults.
type Options struct {
	Logger *slog.Logger // default: slog.Default()
	// Translators returns the translator for a caller's dialect ("openai"), or nil when there is none.
	Translators func(dialect string) provider.Translator
	Via         string // pseudonym in the Via field; default "postern"
}
