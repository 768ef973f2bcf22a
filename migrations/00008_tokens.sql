-- +goose Up

-- APNs tokens are hexadecimal: upper and lower case are one token. Of two rows
-- that now are the same token, the one registered last stays.
DELETE FROM device_tokens t USING device_tokens newer
WHERE t.name IN ('apns_voip', 'apns_alert') AND newer.app_id = t.app_id AND newer.name = t.name
  AND lower(newer.token) = lower(t.token) AND (newer.registered_at, newer.device_id) > (t.registered_at, t.device_id);
UPDATE device_tokens SET token = lower(token) WHERE name IN ('apns_voip', 'apns_alert') AND token <> lower(token);
