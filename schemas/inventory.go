package schemas

import (
	"fmt"

	"tallystick/schemas/tallyv1"
)

// The codecs of the service inventory.
var (
	// StockCommands is the codec of what inventory asks of a product's stock.
	StockCommands = Codec[*tallyv1.StockCommand]{
		kind:  "stock command",
		fresh: func() *tallyv1.StockCommand { return new(tallyv1.StockCommand) },
		check: checkStockCommand,
	}
	// StockReplies is the codec of what a product's stock answers.
	StockReplies = Codec[*tallyv1.StockReplyEvent]{
		kind:  "stock reply event",
		fresh: func() *tallyv1.StockReplyEvent { return new(tallyv1.StockReplyEvent) },
		check: checkStockReply,
	}
	// InventoryRows is the codec of the table of inventory.
	InventoryRows = RowCodec[*tallyv1.InventoryRow]{
		kind:  "row of inventory",
		fresh: func() *tallyv1.InventoryRow { return new(tallyv1.InventoryRow) },
	}
	// StockRows is the codec of the table of inventory-stock.
	StockRows = RowCodec[*tallyv1.StockRow]{
		kind:  "row of inventory-stock",
		fresh: func() *tallyv1.StockRow { return new(tallyv1.StockRow) },
	}
)

// MaxReserved is the most of one product that one order can ask for.
const MaxReserved = MaxLines * MaxQuantity

// stockLine is what all commands and answers about a line say.
type stockLine interface {
	GetProductId() string
	GetOrderId() string
	GetQuantity() int64
}

func checkStockCommand(c *tallyv1.StockCommand) error {
	if err := checkMeta(c.GetMeta()); err != nil {
		return err
	}
	switch v := c.GetCommand().(type) {
	case *tallyv1.StockCommand_ReserveStock:
		return within("reserve_stock", checkStockLine(v.ReserveStock))
	case *tallyv1.StockCommand_ReleaseStock:
		return within("release_stock", checkStockLine(v.ReleaseStock))
	case *tallyv1.StockCommand_ShipStock:
		return within("ship_stock", checkStockLine(v.ShipStock))
	}
	return errNoCommand
}

func checkStockReply(e *tallyv1.StockReplyEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.StockReplyEvent_StockLineReserved:
		return within("stock_line_reserved", checkStockLine(v.StockLineReserved))
	case *tallyv1.StockReplyEvent_StockLineRefused:
		return within("stock_line_refused", checkStockLine(v.StockLineRefused))
	}
	return errNoEvent
}

func checkStockLine(l stockLine) error {
	if err := checkID("product_id", l.GetProductId()); err != nil {
		return err
	}
	if err := checkID("order_id", l.GetOrderId()); err != nil {
		return err
	}
	if n := l.GetQuantity(); n <= 0 || n > MaxReserved {
		return fmt.Errorf("quantity is %d, it is between 1 and %d", n, int64(MaxReserved))
	}
	return nil
}

// StockCommandProductID returns the id of the product that c is about, or nothing.
func StockCommandProductID(c *tallyv1.StockCommand) string {
	switch v := c.GetCommand().(type) {
	case *tallyv1.StockCommand_ReserveStock:
		return v.ReserveStock.GetProductId()
	case *tallyv1.StockCommand_ReleaseStock:
		return v.ReleaseStock.GetProductId()
	case *tallyv1.StockCommand_ShipStock:
		return v.ShipStock.GetProductId()
	}
	return ""
}

// StockReplyOrderID returns the id of the order that e is about, or nothing.
func StockReplyOrderID(e *tallyv1.StockReplyEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.StockReplyEvent_StockLineReserved:
		return v.StockLineReserved.GetOrderId()
	case *tallyv1.StockReplyEvent_StockLineRefused:
		return v.StockLineRefused.GetOrderId()
	}
	return ""
}
