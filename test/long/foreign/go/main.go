// A merchant that knows nothing but one of Go's two clients. What commands and answers are: ../clients.ts.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
)

type merchant struct {
	Gateway, AppID, AlipayPublicKey string
	PrivateKey                      struct{ BarePkcs1 string }
	Certificates                    *struct{ App, Alipay, Root string }
}

type command struct {
	Do, Method, NotifyURL, Form string
	Merchant                    merchant
	Biz                         json.RawMessage
}

type answers map[string]any

// client is one of the two, set up for a merchant.
type client interface {
	payURL(biz []byte, notifyURL string) (string, error)
	call(method string, biz []byte) (any, error)
	isGenuine(form url.Values) bool
}

var clients = map[string]func(merchant) (client, error){"smartwalle": newSmartwalle, "gopay": newGopay}

func carryOut(command command) (answers, error) {
	client, err := clients[os.Args[1]](command.Merchant)
	if err != nil {
		return nil, err
	}
	switch command.Do {
	case "payUrl":
		page, err := client.payURL(command.Biz, command.NotifyURL)
		return answers{"page": page}, err
	case "call":
		answer, err := client.call(command.Method, command.Biz)
		return answers{"answer": answer}, err
	case "checkNotification":
		form, err := url.ParseQuery(command.Form)
		return answers{"genuine": err == nil && client.isGenuine(form)}, err
	}
	return nil, fmt.Errorf("no such command: %s", command.Do)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	say := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var command command
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			panic(err)
		}
		answer, err := carryOut(command)
		if err != nil {
			answer = answers{"refused": err.Error()}
		}
		if err = say.Encode(answer); err != nil {
			panic(err)
		}
	}
}
