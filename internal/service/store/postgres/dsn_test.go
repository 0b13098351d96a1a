package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// No way of getting a connection string wrong may show the password, or a part
// of it.
func TestErrorsHideThePassword(t *testing.T) {
	for _, dsn := range []string{
		// URLs: unencoded special characters, bad ports, bad settings.
		"postgres://u:hunter2/secret@h.invalid/db",
		"postgres://u:12/secret@h.invalid/db",
		"postgres://u:12?secret@h.invalid/db",
		"postgres://u:12#secret@h.invalid/db",
		"postgres://u:secret%zz@h.invalid/db",
		"postgres://u:secret@h.invalid:port/db",
		"postgres://u:secret@h.invalid:99999/db",
		"postgres://u:secret@h.invalid/db?sslmode=secret",
		"postgres://u:secret@h.invalid/db?sslmode=verify-full&sslrootcert=/does/not/exist",
		"postgres://u:secret@h.invalid/db?connect_timeout=x",
		"postgres://h.invalid/db?password=secret&connect_timeout=x",
		"postgres://u:sec ret@h.invalid/db",
		"postgres://u:secret@[::1/db",
		// Pairs.
		"host=h.invalid password=my secret",
		"host=h.invalid password='secret",
		"host=h.invalid password=secret sslmode=x",
		"host=h.invalid password=secret port=x",
		"secret",
		"=secret",
	} {
		_, err := parse(dsn)
		if err == nil {
			t.Errorf("%s was accepted", dsn)
			continue
		}
		for _, part := range []string{"secret", "hunter2", "sec ret"} {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), part) {
				t.Errorf("%s: the error %q shows %s", dsn, err, part)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p%40ss%2Fw@h:1/db":                               "u p@ss/w h 1 db signpath",
		"postgresql://u:p@/db?host=/tmp/x&application_name=mine":       "u p /tmp/x 5432 db mine",
		"host=h port=2 user=u password='a b' dbname=d sslmode=disable": "u a b h 2 d signpath",
	} {
		c, err := parse(dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		got := fmt.Sprint(c.User, " ", c.Password, " ", c.Host, " ", c.Port, " ", c.Database, " ", c.RuntimeParams["application_name"])
		if got != want {
			t.Errorf("%s: got %q, want %q", dsn, got, want)
		}
		if c.ConnectTimeout != connectTimeout {
			t.Errorf("%s: connect timeout %s", dsn, c.ConnectTimeout)
		}
	}
}

// The reason of a parse error that holds no secret stays readable.
func TestParseReason(t *testing.T) {
	_, err := parse("postgres://u:secret@h.invalid/db?sslmode=verify-full&sslrootcert=/does/not/exist")
	if err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("got %v", err)
	}
}

func TestDescribe(t *testing.T) {
	config, err := parse("postgres://u:topsecret@/db?host=/does/not/exist")
	if err != nil {
		t.Fatal(err)
	}
	_, err = pgconn.ConnectConfig(t.Context(), &config.Config)
	if err == nil {
		t.Fatal("connected to nothing")
	}
	err = dialect{}.Describe(fmt.Errorf("wrapped: %w", err))
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "topsecret") {
		t.Errorf("%#v holds the configuration", err)
	}
	if !strings.Contains(err.Error(), "/does/not/exist") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q", err)
	}
	plain := errors.New("plain")
	if got := (dialect{}).Describe(plain); got != plain {
		t.Errorf("got %v", got)
	}
}

// Attempts that fail for the same reason are told of once.
func TestDescribeOnce(t *testing.T) {
	config, err := parse("postgres://u:topsecret@127.0.0.1:1/db?sslmode=prefer")
	if err != nil {
		t.Fatal(err)
	}
	_, err = pgconn.ConnectConfig(t.Context(), &config.Config)
	got := dialect{}.Describe(err).Error()
	if n := strings.Count(got, "connection refused"); n != 1 {
		t.Errorf("the cause is there %d times: %s", n, got)
	}
}

func TestRebind(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                          "SELECT 1",
		"SELECT a FROM b WHERE c = ?":       "SELECT a FROM b WHERE c = $1",
		"VALUES (?, ?, ?, ?) ORDER BY ? ? ": "VALUES ($1, $2, $3, $4) ORDER BY $5 $6 ",
		strings.Repeat("?", 11):             "$1$2$3$4$5$6$7$8$9$10$11",
	} {
		if got := (dialect{}).Rebind(query); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzParse looks for connection strings whose error shows the password.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a b", "@", "/", "%", "'", "\\", ":", "?x", "#", "12/"} {
		f.Add(s)
	}
	const mark = "Zq7Xv9Kp"
	f.Fuzz(func(t *testing.T, rest string) {
		for _, dsn := range []string{
			"postgres://u:" + rest + mark + "@h.invalid/db?sslmode=x",
			"postgres://u:" + mark + rest + "@h.invalid/db?sslmode=x",
			"postgres://u:" + url.QueryEscape(mark+rest) + "@h.invalid:x/db",
			"host=h.invalid sslmode=x password=" + rest + mark,
			"host=h.invalid sslmode=x password='" + mark + rest + "'",
		} {
			if _, err := parse(dsn); err != nil && strings.Contains(fmt.Sprintf("%v %#v", err, err), mark) {
				t.Errorf("%q: the error %q shows the password", dsn, err)
			}
		}
	})
}
