package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"
	yamlv2 "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"
)

// Load returns the settings: defaults, then the configuration file, then the flags that were given. The file at
// [DefaultFile] may be missing, one that was asked for may not. All that is wrong is reported together.
func Load(file string, given *pflag.FlagSet) (Config, error) {
	config := Default()
	path := file
	if path == "" {
		path = DefaultFile
	}
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := decode(text, &config); err != nil {
			return Config{}, fmt.Errorf("configuration file %s: %w", path, err)
		}
	case file != "" || !errors.Is(err, fs.ErrNotExist):
		return Config{}, fmt.Errorf("configuration file: %w", err)
	}
	if err := overlay(given, &config); err != nil {
		return Config{}, err
	}
	if err := config.absolutePaths(); err != nil {
		return Config{}, err
	}
	return config, config.Validate()
}

func decode(text []byte, config *Config) error {
	if err := yaml.UnmarshalStrict(text, config); err != nil {
		return err
	}
	if err := checkCase(text); err != nil {
		return err
	}
	if err := checkEnd(text); err != nil {
		return err
	}
	if config.APIVersion != APIVersion || config.Kind != Kind {
		return fmt.Errorf("says apiVersion %q, kind %q; expected are %q, %q", config.APIVersion, config.Kind, APIVersion, Kind)
	}
	return nil
}

// checkCase refuses fields in another case, such as nodeIp: encoding/json takes them, and so the same field twice.
func checkCase(text []byte) error {
	var given map[string]any
	if err := yaml.Unmarshal(text, &given); err != nil {
		return err
	}
	delete(given, "apiVersion")
	delete(given, "kind")
	for field := range fields() {
		delete(given, jsonName(field))
	}
	if unknown := slices.Sorted(maps.Keys(given)); len(unknown) > 0 {
		return fmt.Errorf("unknown field %q", unknown[0])
	}
	return nil
}

// checkEnd refuses what stands behind the first document, which sigs.k8s.io/yaml does not look at: whoever wrote it there means it.
func checkEnd(text []byte) error {
	documents := yamlv2.NewDecoder(bytes.NewReader(text))
	var first, second any
	if err := documents.Decode(&first); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := documents.Decode(&second); err == nil {
		return errors.New("holds more than one YAML document; only one is read")
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the first YAML document: %w", err)
	}
	return nil
}

// overlay sets what was given on the command line, and only that.
func overlay(given *pflag.FlagSet, config *Config) error {
	if given == nil {
		return nil
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	Bind(flags, config)
	var errs []error
	given.Visit(func(flag *pflag.Flag) {
		if flags.Lookup(flag.Name) != nil {
			errs = append(errs, flags.Set(flag.Name, flag.Value.String()))
		}
	})
	return errors.Join(errs...)
}

func (c *Config) absolutePaths() error {
	for _, path := range []*string{&c.BootstrapKubeconfig, &c.Kubeconfig, &c.CertDir, &c.KubeletClientCAFile, &c.WebConfigFile, &c.Textfile, &c.DiscoveryTokenFile, &c.DiscoveryFile, &c.CAFile} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	return nil
}
