package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"signpath/internal/service/pki"
)

// defaultKeys is what a development service has unless it is told otherwise.
const defaultKeys = pki.DefaultKeyNames

// devData is the data folder inside of the development service's folder.
const devData = "data"

// devCommand runs a throw-away service.
type devCommand struct {
	Dir    string `help:"Folder for everything; the same folder continues with the same keys, tokens and certificates." required:"" placeholder:"DIR"`
	Listen string `help:"Address and port; port 0 takes that of the last start, or else a free one." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	Keys   string `help:"Keys to have: rsa2048, rsa3072, rsa4096, p256, p384, p521, ed25519, also as tls-…, mail-… and (RSA) gpg-…." default:"${keys}" placeholder:"LIST"`
	devHSM `embed:""`
}

// devHSM is a PKCS #11 token for the keys of a development service.
type devHSM struct {
	HSMModule  string `name:"hsm-module" help:"PKCS #11 module of a token that the X.509 keys are made on." placeholder:"SO"`
	HSMToken   string `name:"hsm-token" help:"Label of the token." placeholder:"LABEL"`
	HSMPinFile string `name:"hsm-pin-file" help:"File with the token's PIN, readable for its owner only." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (devCommand) Help() string {
	return `It runs in the foreground until SIGTERM or Ctrl-C. Before it prints its one line "ready https://…/Api" on stdout it has written into DIR:

  env                          variables for the crypto providers: . DIR/env
  config.json                  the same, for SIGNPATH_CONFIG_FILE
  tls-ca.pem                   what the service's TLS certificate chains to
  ca.pem                       root of the signing certificates
  certificates/POLICY.pem      signing certificate; POLICY.chain.pem with its issuers
  gpg/POLICY.asc               OpenPGP public key
  admin-token, other-token     of an administrator, and of a user without policies

The organization has one project, hash-signing, with one signing policy per key. The keys lie on this machine and the certificates are worth nothing elsewhere: never sign anything real with it.

` + examples(
		"signpath dev --dir /tmp/signpath",
		"signpath dev --dir /tmp/signpath --listen 127.0.0.1:8443 --keys rsa2048,p256",
		"signpath dev --dir /tmp/signpath --hsm-module /usr/lib/softhsm/libsofthsm2.so --hsm-token test --hsm-pin-file pin",
		". /tmp/signpath/env && curl --cacert \"$SIGNPATH_TRUSTED_CA_FILE\" -H \"Authorization: Bearer $SIGNPATH_API_TOKEN\" \"$SIGNPATH_API_URL/v1/$SIGNPATH_ORGANIZATION_ID/Cryptoki/MySigningPolicies\"",
	)
}

// Run serves until it is told to stop.
func (c *devCommand) Run(ctx context.Context, t *terminal) (err error) {
	specs, err := pki.ParseKeyNames(c.Keys)
	if err != nil {
		return usage(err, "e.g. --keys "+defaultKeys)
	}
	tokens, err := c.devHSM.tokens()
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(ctx)
	defer stop()

	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	if err := makeDevFolders(dir); err != nil {
		return err
	}
	listener, host, err := listenAgain(ctx, c.Listen, dir)
	if err != nil {
		return err
	}
	defer listener.Close()
	if !isLoopback(host) {
		t.warning("this service is for development: " + c.Listen + " can be reached from other machines, and its TLS certificate is valid for this one only")
	}
	logger := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	data := filepath.Join(dir, devData)
	i, err := openInstallation(ctx, t, installationOptions{folder: data, create: true, quiet: true, tokens: tokens, logger: logger})
	if err != nil {
		return unlessStopped(ctx, err)
	}
	defer func() { err = errors.Join(err, i.close()) }()
	for _, token := range i.tokens {
		if err := token.Ready(ctx); err != nil {
			return unlessStopped(ctx, err)
		}
	}
	content, err := prepareDev(ctx, t, i, specs)
	if err != nil {
		return unlessStopped(ctx, err) // the next start goes on with what is there
	}
	own, _, err := openOwnTLS(data, []string{"localhost", "127.0.0.1", "::1"}, logger, time.Now)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	url := "https://" + net.JoinHostPort(reachable(host), port)
	s, err := newService(ctx, i, doors{listener: listener, tls: tlsConfig(own.certificate, nil), publicURL: url, folder: data, logger: logger})
	if err != nil {
		return unlessStopped(ctx, err)
	}
	if err := writeDevFiles(dir, url+"/Api", content); err != nil {
		return errors.Join(err, s.closeSocket(ctx))
	}
	var readyErr error
	err = s.run(ctx, func() {
		if readyErr = t.print("ready " + url + "/Api"); readyErr != nil {
			stop() // whoever waited for the line is gone
		}
	})
	if readyErr != nil {
		readyErr = fmt.Errorf("printing the ready line: %w", readyErr)
	}
	return errors.Join(err, readyErr)
}
