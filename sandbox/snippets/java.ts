import type { SnippetOf } from './index';

export const javaSnippets: readonly SnippetOf[] = [
  {
    id: 'java',
    language: 'Java',
    client: 'com.alipay.sdk:alipay-sdk-java',
    install: 'Maven: com.alipay.sdk:alipay-sdk-java:4.40.734.ALL',
    code: ({ gateway, appId, pkcs8, alipayKey }) => `// Pay.java
import com.alipay.api.AlipayClient;
import com.alipay.api.AlipayConfig;
import com.alipay.api.DefaultAlipayClient;
import com.alipay.api.request.AlipayTradePagePayRequest;
import com.alipay.api.request.AlipayTradeQueryRequest;

public class Pay {
  public static void main(String[] args) throws Exception {
    AlipayConfig config = new AlipayConfig();
    config.setServerUrl("${gateway}");
    config.setAppId("${appId}");
    config.setPrivateKey("${pkcs8}");
    config.setAlipayPublicKey("${alipayKey}");
    AlipayClient alipay = new DefaultAlipayClient(config);
    String no = "java_" + System.currentTimeMillis();
    AlipayTradePagePayRequest pay = new AlipayTradePagePayRequest();
    pay.setBizContent("{\\"out_trade_no\\":\\"" + no + "\\",\\"total_amount\\":\\"0.01\\",\\"subject\\":\\"A book\\","
        + "\\"product_code\\":\\"FAST_INSTANT_TRADE_PAY\\"}");
    System.out.println("Open this and pay: " + alipay.pageExecute(pay, "GET").getBody());
    AlipayTradeQueryRequest query = new AlipayTradeQueryRequest();
    query.setBizContent("{\\"out_trade_no\\":\\"" + no + "\\"}");
    String status = null;
    while (!"TRADE_SUCCESS".equals(status)) {
      Thread.sleep(2000);
      status = alipay.execute(query).getTradeStatus();
      System.out.println(status);
    }
  }
}
`,
  },
];
