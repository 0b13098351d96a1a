package doctor

import (
	"crypto/x509"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"signpath/internal/provider/remote"
)

// listed joins names, shortened.
func listed(all []string) string {
	if len(all) > maxListed {
		return strings.Join(all[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(all)-maxListed)
	}
	return strings.Join(all, ", ")
}

func count(n int, what string) string {
	if n != 1 {
		if stem, ok := strings.CutSuffix(what, "y"); ok && !strings.ContainsAny(stem[len(stem)-1:], "aeiou") {
			what = stem + "ies"
		} else {
			what += "s"
		}
	}
	return strconv.Itoa(n) + " " + what
}

func took(s remote.Step) string { return strconv.FormatInt(s.Took.Milliseconds()+1, 10) + " ms" }

func period(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func days(d time.Duration) string {
	if d < 0 {
		return "over"
	}
	return "in " + count(int(math.Ceil(d.Hours()/24)), "day")
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func names(c *x509.Certificate) string {
	var all []string
	all = append(all, c.DNSNames...)
	for _, a := range c.IPAddresses {
		all = append(all, a.String())
	}
	if len(all) == 0 {
		return fmt.Sprintf("%q", remote.Subject(c))
	}
	return strings.Trim(fmt.Sprintf("%q", listed(all)), `"`) // quoted: foreign text
}

func issuer(c *x509.Certificate) string {
	return remote.Subject(&x509.Certificate{Subject: c.Issuer})
}
