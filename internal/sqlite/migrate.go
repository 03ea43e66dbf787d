package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrate brings a database to this binary's schema. A schema from the future is refused: an older Postern would not know
// what it must keep intact.
func migrate(ctx context.Context, db *sql.DB, file, folder string, readOnly bool) error {
	sub, err := fs.Sub(migrations, folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", file, err)
	}
	if readOnly {
		return checkVersion(ctx, db, p, file)
	}
	has, want, err := p.GetVersions(ctx)
	if err != nil {
		return explain(file, "read the schema's version", err)
	}
	if has > want {
		return newer(file, has, want)
	}
	if has == want {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return explain(file, fmt.Sprintf("upgrade the schema from version %d to %d (it was left as it was)", has, want), err)
	}
	return nil
}

// checkVersion does without goose's own look, which creates its table where it is missing.
func checkVersion(ctx context.Context, db *sql.DB, p *goose.Provider, file string) error {
	var has, want int64
	for _, s := range p.ListSources() {
		want = max(want, s.Version)
	}
	err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+goose.DefaultTablename+" WHERE is_applied").Scan(&has)
	switch {
	case err != nil && has == 0:
		return fmt.Errorf("%w; if `postern serve` has never run on this folder, start it once", explain(file, "read the schema's version", err))
	case has > want:
		return newer(file, has, want)
	case has < want:
		return fmt.Errorf("%s has schema version %d, this Postern reads version %d; start `postern serve` once with this version, which upgrades it", file, has, want)
	}
	return nil
}

func newer(file string, has, want int64) error {
	return fmt.Errorf("%s was written by a newer Postern (schema version %d, this one knows %d); use that version or a later one, or put back the backup from before the upgrade", file, has, want)
}
