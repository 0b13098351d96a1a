package notation

import (
	"maps"
	"strings"

	"signpath/internal/provider/settings"
)

// Names of --plugin-config that are this plug-in's own. All others are names of
// settings as in the configuration file, nested ones with points between.
const (
	nameConfigFile = "ConfigFile"           // path of the configuration file, instead of SIGNPATH_CONFIG_FILE
	nameChainFile  = "CertificateChainFile" // PEM file with issuers that the service does not know
)

// config is what a request says about settings and key.
type config struct {
	settings      settings.Settings // with the slugs of the key
	chainFile     string
	consoleWanted bool // somebody asked for a log on the console
}

// configure reads the settings for a request. Those for the log are of use even
// with an error.
func (p *Plugin) configure(r keyRequest) (config, error) {
	explicit := settings.Explicit{Values: maps.Clone(r.PluginConfig)}
	var c config
	given := map[string]int{}
	for name, value := range r.PluginConfig {
		fold := strings.ToLower(name)
		switch fold {
		case strings.ToLower(nameConfigFile):
			explicit.ConfigFile = strings.TrimSpace(value)
		case strings.ToLower(nameChainFile):
			c.chainFile = strings.TrimSpace(value)
		default:
			continue
		}
		given[fold]++
		delete(explicit.Values, name)
	}
	var err error
	c.settings, err = settings.Load(p.Environ, explicit)
	c.consoleWanted = c.settings.Log.ConsoleLevel > settings.LevelNone
	c.settings.Log.ConsoleLevel = settings.LevelNone
	for name, n := range given {
		if n > 1 {
			return c, newError(CodeValidation, "--plugin-config gives %s twice, in different spellings", name)
		}
	}
	if err == nil {
		err = c.settings.Complete()
	}
	if err != nil {
		return c, err
	}
	project, policy, ok := strings.Cut(r.KeyID, "/")
	if !ok || project == "" || policy == "" || strings.Contains(policy, "/") {
		return c, newError(CodeValidation, "the key id %q is not of the form PROJECT/POLICY (project slug, slash, signing policy slug)", clip(r.KeyID))
	}
	// The configuration may narrow what is in sight, as for the other providers.
	for _, s := range []struct{ name, configured, asked string }{
		{"ProjectSlug", c.settings.ProjectSlug, project},
		{"SigningPolicySlug", c.settings.SigningPolicySlug, policy},
	} {
		if s.configured != "" && s.configured != s.asked {
			return c, newError(CodeValidation, "the key id %q is hidden by the setting %s (%s: %q); remove the setting or name that key", clip(r.KeyID), s.name, c.settings.Source(s.name), s.configured)
		}
	}
	c.settings.ProjectSlug, c.settings.SigningPolicySlug = project, policy
	return c, nil
}
