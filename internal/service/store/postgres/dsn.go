package postgres

import (
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

var (
	errURL = errors.New("the PostgreSQL connection string is not a valid URL: expected " +
		"postgres://user:password@host:5432/database?sslmode=verify-full; special characters " +
		"in the user name and the password must be percent-encoded, e.g. %40 for @ and %2F for /")
	errPairs = errors.New("the PostgreSQL connection string cannot be understood: expected " +
		"host=… port=… dbname=… user=… password=… sslmode=…; a value with spaces needs single quotes")
)

// parse reads a connection string. Its errors are fixed texts or were checked
// for the password: a parser does not know which part of a broken string is
// the secret one.
func parse(dsn string) (*pgx.ConnConfig, error) {
	isURL := strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
	if isURL {
		u, err := url.Parse(dsn)
		// An @ behind the host means that the host is a part of an unencoded password.
		if err != nil || strings.Contains(u.EscapedPath()+u.RawQuery+u.Fragment, "@") {
			return nil, errURL
		}
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		if isURL {
			return nil, describeURL(err, dsn)
		}
		return nil, errPairs
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "signpath"
	}
	return config, nil
}

// describeURL keeps the reason, e.g. a missing certificate file, when the URL
// tells what the password is and the reason does not have it.
func describeURL(err error, dsn string) error {
	u, parseErr := url.Parse(dsn)
	reason := errors.Unwrap(err)
	if parseErr != nil || reason == nil {
		return errURL
	}
	password, _ := u.User.Password()
	text := reason.Error()
	for _, secret := range []string{password, u.Query().Get("password"), u.Query().Get("sslpassword"), dsn} {
		if secret != "" && strings.Contains(text, secret) {
			return errURL
		}
	}
	return errors.New("the PostgreSQL connection string cannot be used: " + text)
}
