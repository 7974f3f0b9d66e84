import type { SnippetOf } from './index';

export const goSnippets: readonly SnippetOf[] = [
  {
    id: 'go-smartwalle',
    language: 'Go',
    client: 'smartwalle/alipay',
    install: 'go get github.com/smartwalle/alipay/v3@v3.2.23',
    code: ({ gateway, appId, pkcs1, alipayKey }) => `// main.go
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/smartwalle/alipay/v3"
)

func main() {
	client, err := alipay.New("${appId}", "${pkcs1}", false, alipay.WithSandboxGateway("${gateway}"))
	if err != nil {
		panic(err)
	}
	if err = client.LoadAliPayPublicKey("${alipayKey}"); err != nil {
		panic(err)
	}
	no := fmt.Sprintf("go_%d", time.Now().UnixMilli())
	page := alipay.TradePagePay{}
	page.OutTradeNo, page.TotalAmount, page.Subject = no, "0.01", "A book"
	page.ProductCode = "FAST_INSTANT_TRADE_PAY"
	url, err := client.TradePagePay(page)
	if err != nil {
		panic(err)
	}
	fmt.Println("Open this and pay:", url)
	for {
		time.Sleep(2 * time.Second)
		answer, err := client.TradeQuery(context.Background(), alipay.TradeQuery{OutTradeNo: no})
		if err != nil {
			panic(err)
		}
		fmt.Println(answer.TradeStatus, answer.SubCode)
		if answer.TradeStatus == alipay.TradeStatusSuccess {
			return
		}
	}
}
`,
  },
  {
    id: 'go-gopay',
    language: 'Go',
    client: 'go-pay/gopay',
    install: 'go get github.com/go-pay/gopay@v1.5.109',
    code: ({ gateway, url, appId, pkcs1, alipayKey }) => `// main.go
package main

import (
	"context"
	"fmt"
	"net/http"
	neturl "net/url"
	"strings"
	"time"

	"github.com/go-pay/gopay"
	"github.com/go-pay/gopay/alipay"
	"github.com/go-pay/gopay/pkg/xhttp"
)

// The client knows two fixed addresses alone: this sends what it asks to the sandbox.
type toSandbox struct{}

func (toSandbox) RoundTrip(request *http.Request) (*http.Response, error) {
	sandbox, _ := neturl.Parse("${url}")
	request.URL.Scheme, request.URL.Host, request.Host = sandbox.Scheme, sandbox.Host, sandbox.Host
	return http.DefaultTransport.RoundTrip(request)
}

func main() {
	client, err := alipay.NewClient("${appId}", "${pkcs1}", true)
	if err != nil {
		panic(err)
	}
	web := xhttp.NewClient()
	web.HttpClient.Transport = toSandbox{}
	client.SetHttpClient(web)
	client.AutoVerifySign([]byte("-----BEGIN PUBLIC KEY-----\\n${alipayKey}\\n-----END PUBLIC KEY-----"))
	ctx, no := context.Background(), fmt.Sprintf("gopay_%d", time.Now().UnixMilli())
	body := make(gopay.BodyMap)
	body.Set("out_trade_no", no).Set("total_amount", "0.01").Set("subject", "A book").
		Set("product_code", "FAST_INSTANT_TRADE_PAY")
	page, err := client.TradePagePay(ctx, body)
	if err != nil {
		panic(err)
	}
	_, query, _ := strings.Cut(page, "?")
	fmt.Println("Open this and pay:", "${gateway}?"+query)
	for {
		time.Sleep(2 * time.Second)
		answer, err := client.TradeQuery(ctx, gopay.BodyMap{"out_trade_no": no})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(answer.Response.TradeStatus)
		if answer.Response.TradeStatus == "TRADE_SUCCESS" {
			return
		}
	}
}
`,
  },
];
