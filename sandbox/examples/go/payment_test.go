package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/smartwalle/alipay/v3"
)

type setup struct {
	Gateway, URL, AppID string
	AppPrivateKey       struct{ BarePkcs1 string }
	AlipayPublicKey     struct{ Bare string }
}

// start runs the sandbox until the test ends.
func start(t *testing.T) (url string, told setup) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	command := os.Getenv("ALIPAY_SANDBOX")
	if command == "" {
		command = "npx --no-install alipay-sandbox"
	}
	words := append(strings.Fields(command), "--port", fmt.Sprint(port), "--dir", t.TempDir())
	process := exec.Command(words[0], words[1:]...)
	if err = process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Process.Signal(os.Interrupt)
		process.Wait()
	})
	url = fmt.Sprintf("http://127.0.0.1:%d", port)
	for left := 300; left > 0; left-- {
		if answer, err := http.Get(url + "/setup/json"); err == nil {
			defer answer.Body.Close()
			if err = json.NewDecoder(answer.Body).Decode(&told); err != nil {
				t.Fatal(err)
			}
			return url, told
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the sandbox did not start")
	return
}

func control(t *testing.T, url, name string, arguments any) {
	body, _ := json.Marshal(arguments)
	answer, err := http.Post(url+"/control/"+name, "application/json", bytes.NewReader(body))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(name, answer, err)
	}
	answer.Body.Close()
}

func TestABuyerPays(t *testing.T) {
	url, told := start(t)
	client, err := alipay.New(told.AppID, told.AppPrivateKey.BarePkcs1, false, alipay.WithSandboxGateway(told.Gateway))
	if err != nil {
		t.Fatal(err)
	}
	if err = client.LoadAliPayPublicKey(told.AlipayPublicKey.Bare); err != nil {
		t.Fatal(err)
	}
	page := alipay.TradePagePay{}
	page.OutTradeNo, page.TotalAmount, page.Subject = "A1", "8.88", "龙井茶"
	page.ProductCode = "FAST_INSTANT_TRADE_PAY"
	address, err := client.TradePagePay(page)
	if err != nil {
		t.Fatal(err)
	}
	control(t, url, "pay", map[string]string{"outTradeNo": address.String()})
	answer, err := client.TradeQuery(context.Background(), alipay.TradeQuery{OutTradeNo: "A1"})
	if err != nil || answer.TradeStatus != alipay.TradeStatusSuccess {
		t.Fatal(answer, err)
	}
}
