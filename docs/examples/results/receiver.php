<?php
// Takes the results that durable-alipay posts. Set ORDER_SERVICE_SECRET.
$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$at = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$key = base64_decode(substr(getenv('ORDER_SERVICE_SECRET'), strlen('whsec_')));
$expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$at.$body", $key, true));
$signatures = explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '');
$isGenuine = array_filter($signatures, fn ($given) => hash_equals($expected, $given));
if (!$isGenuine || abs(time() - (int) $at) > 300) { http_response_code(401); exit; }
$result = json_decode($body, true); // act once
error_log("{$result['messageId']} {$result['orderId']} {$result['status']}");
http_response_code(204);
