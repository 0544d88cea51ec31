
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
^
7type.googleapis.com/gatehouse.config.v1.ReverseProxySet#
jiraa headera trusted_proxies
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden